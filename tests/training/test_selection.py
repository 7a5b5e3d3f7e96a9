"""Which weights are scored and kept."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.cluster import Cluster
from pipeline.training import engine, shards
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.models import cnn
from pipeline.training.selection import Selection
from pipeline.training.workers import Workers
from tests.training.support import LOSS, colours

Weights = list[NDArray[np.float32]]
VALIDATION = colours(20, seed=1)
WAYS: dict[str, dict[str, Any]] = {
    "memory": {},
    "disk": {"streamed": True},
    "shards": {"shards": 2},
}


def test_the_best_epoch_is_the_first_of_the_highest() -> None:
    accuracies = [0.5, 0.7, 0.6, 0.7]
    assert Selection(keep="best").kept(accuracies) == 1
    assert Selection().kept(accuracies) == 3


@pytest.mark.parametrize(
    ("patience", "ended"),
    [
        (0, [False, False, False, False, True]),
        (1, [False, False, True, True, True]),
        (2, [False, False, False, True, True]),
        (3, [False, False, False, False, True]),
    ],
)
def test_patience(patience: int, ended: list[bool]) -> None:
    accuracies = [0.5, 0.7, 0.7, 0.6, 0.8]
    selection = Selection(patience=patience)
    assert not selection.ended([], 5)
    assert [selection.ended(accuracies[:count], 5) for count in range(1, 6)] == ended


class Record(keras.callbacks.Callback):  # type: ignore[misc]
    """The weights after each epoch, which are those that learn."""

    def __init__(self, network: keras.Model, cut: int) -> None:
        super().__init__()
        self.network = network
        self.cut = cut
        self.weights: list[Weights] = []

    def on_epoch_begin(self, epoch: int, _logs: object = None) -> None:
        if epoch == self.cut:
            raise PowerCutError

    def on_epoch_end(self, *_: object) -> None:
        self.weights.append(self.network.get_weights())


class PowerCutError(Exception):
    pass


def train(
    selection: Selection,
    *,
    epochs: int = 6,
    cut: int = -1,
    learning_rate: float = 0.05,
    **options: Any,  # noqa: ANN401
) -> tuple[keras.Model, dict[str, list[float]], list[Weights]]:
    """A small network with batch normalization; each epoch is a step."""
    keras.utils.set_random_seed(0)
    network = cnn((8, 8, 3), 3, 1 / 255, filters=[4], hidden_units=[8], dropout=0.25)
    record = Record(network, cut)
    common: dict[str, Any] = {
        "optimizer": keras.optimizers.Adam(learning_rate),
        "loss": LOSS,
        "epochs": epochs,
        "batch_size": 40,
        "seed": 3,
        "callbacks": [record],
        "selection": selection,
    }
    if "shards" in options:
        options["workers"] = Workers(Cluster())
    history = (shards if "shards" in options else engine).fit(
        network, colours(40), VALIDATION, **common, **options
    )
    return network, history, record.weights


def loss_of(network: keras.Model, weights: Weights) -> float:
    network.set_weights(weights)
    network.compile(loss=LOSS)
    return float(network.evaluate(VALIDATION.images, VALIDATION.labels, verbose=0))


@pytest.mark.long("pipeline/training")
@pytest.mark.parametrize("way", WAYS)
def test_the_average_is_scored_and_saved(way: str) -> None:
    decay = 0.4
    network, history, learning = train(Selection(average=decay), **WAYS[way])
    saved = network.get_weights()
    plain_network, plain, plain_learning = train(Selection(), **WAYS[way])
    for found, expected in zip(learning[-1], plain_learning[-1], strict=True):
        np.testing.assert_array_equal(found, expected)  # to average changes no step
    assert history["loss"] == plain["loss"]

    keras.utils.set_random_seed(0)
    first = cnn((8, 8, 3), 3, 1 / 255, filters=[4], hidden_units=[8], dropout=0.25)
    average = first.get_weights()
    for step, weights in enumerate(learning, start=1):
        kept = min(decay, (1 + step) / (10 + step))  # 2/11, 3/12, 4/13, 5/14, 0.4, ...
        average = [kept * a + (1 - kept) * b for a, b in zip(average, weights, strict=True)]
        assert history["val_loss"][step - 1] == pytest.approx(
            loss_of(plain_network, average), rel=1e-4
        )
    for found, value in zip(saved, average, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-6)


@pytest.mark.long("pipeline/training")
@pytest.mark.parametrize("way", WAYS)
def test_the_best_weights_are_kept_and_patience_ends_a_training(way: str) -> None:
    options = WAYS[way] | {"epochs": 60, "learning_rate": 0.2}
    selection = Selection(keep="best", patience=4)
    network, history, learning = train(selection, **options)
    accuracies = history["val_accuracy"]
    best = accuracies.index(max(accuracies))
    assert best < len(accuracies) - 1
    assert len(accuracies) == best + 1 + 4 < 60
    assert selection.kept(accuracies) == best
    for found, expected in zip(network.get_weights(), learning[best], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.long("pipeline/training")
@pytest.mark.parametrize("way", WAYS)
def test_interrupted_or_not(way: str, tmp_path: Path) -> None:
    options = WAYS[way] | {"epochs": 60, "learning_rate": 0.2}
    selection = Selection(average=0.5, keep="best", patience=4)
    whole, history, _ = train(selection, **options)
    epochs = len(history["loss"])
    for cut in (1, epochs - 1):
        checkpoint = Checkpoint(tmp_path, {"cut": cut})
        with pytest.raises(PowerCutError):
            train(selection, cut=cut, checkpoint=checkpoint, **options)
        for _ in range(2):  # the second time nothing is left to do
            resumed, resumed_history, _ = train(selection, checkpoint=checkpoint, **options)
            assert resumed_history == history
            for found, expected in zip(resumed.get_weights(), whole.get_weights(), strict=True):
                np.testing.assert_array_equal(found, expected)

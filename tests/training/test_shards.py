"""Training in shards by one worker; test_workers.py has several."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.cluster import Cluster
from pipeline.training import engine, shards
from pipeline.training.augment import Augmentation
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.models import cnn
from pipeline.training.optimizers import make_loss
from pipeline.training.shards import NOBODY, divide, own_blocks
from pipeline.training.workers import Workers
from tests.training.support import LOSS, colours, images, network

ALONE = Workers(Cluster())


def test_batches_are_divided_into_shards() -> None:
    order = np.array([5, 3, 0, 1, 6, 2, 4], np.int32)
    assert divide(order, 4, 2).tolist() == [[[5, 3], [0, 1]], [[6, 2], [4, NOBODY]]]
    assert divide(order, 3, 2).tolist() == [
        [[5, 3], [0, NOBODY]],
        [[1, 6], [2, NOBODY]],
        [[4, NOBODY], [NOBODY, NOBODY]],
    ]
    assert divide(order, 8, 1).tolist() == [[[5, 3, 0, 1, 6, 2, 4, NOBODY]]]


@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_the_workers_score_every_image_once(count: int) -> None:
    addresses = ("a:1", "b:1", "c:1", "d:1")
    split = images(count)
    scored = []
    for rank in range(4):
        workers = Workers(Cluster())
        workers.count, workers.rank = len(addresses), rank
        scored.append(own_blocks(split, 4, workers))
    alone = own_blocks(split, 4, ALONE)
    np.testing.assert_array_equal(np.concatenate(scored), alone)
    assert alone[alone != NOBODY].tolist() == list(range(count))


def trained(
    model: keras.Model,
    *,
    parts: int,
    count: int = 50,
    epochs: int = 2,
    batch_size: int = 16,
    **options: Any,  # noqa: ANN401, as `fit` has them
) -> tuple[list[NDArray[np.float32]], dict[str, list[float]]]:
    """The weights and the history of a training in `parts`, on one worker."""
    make = colours if len(model.input_shape) == 4 else images
    common: dict[str, Any] = {
        "optimizer": keras.optimizers.Adam(0.01),
        "loss": LOSS,
        "epochs": epochs,
        "batch_size": batch_size,
        "seed": 3,
        "callbacks": [],
    } | options
    train, validation = make(count), make(20, seed=1)
    if parts:
        history = shards.fit(model, train, validation, shards=parts, workers=ALONE, **common)
    else:
        history = engine.fit(model, train, validation, **common)
    return model.get_weights(), history


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        (2, {}),
        (4, {"batch_size": 15, "count": 31}),  # a smaller shard, and a batch of one image
        (8, {"drop_last": True, "loss": make_loss(0.1)}),
        (4, {"class_weights": np.array([0.5, 2], np.float32)}),
    ],
)
def test_shards_change_nothing_but_rounding(parts: int, options: dict[str, Any]) -> None:
    whole, history = trained(network(), parts=0, **options)
    weights, sharded = trained(network(), parts=parts, **options)
    for found, expected in zip(weights, whole, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert list(sharded) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    for name, values in sharded.items():
        np.testing.assert_allclose(values, history[name], rtol=1e-5)


@pytest.mark.long("pipeline/training")
def test_shards_draw_numbers_of_their_own() -> None:
    """With dropout, two shards are no longer the halves of one batch."""
    whole, _ = trained(network(dropout=0.5), parts=0)
    weights, _ = trained(network(dropout=0.5), parts=2)
    assert not np.allclose(weights[0], whole[0], atol=1e-3)


OPTIONS: dict[str, Any] = {
    "drop_last": True,
    "augmentation": Augmentation(
        1, rotation=10.0, zoom=0.1, flip=True, shear=10.0, elastic=1.0, erase=2
    ),
    "loss": make_loss(0.1),
}


def colour_network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return cnn((8, 8, 3), 3, 1 / 255, filters=[4], hidden_units=[8], dropout=0.25)


@pytest.mark.long("pipeline/training")
@pytest.mark.parametrize(
    "make", [lambda: network(dropout=0.25), colour_network], ids=["mlp", "cnn"]
)
def test_from_disk_or_from_memory(make: Callable[[], keras.Model]) -> None:
    memory, history = trained(make(), parts=4, **OPTIONS)
    disk, streamed = trained(make(), parts=4, streamed=True, **OPTIONS)
    assert streamed == history
    for found, expected in zip(disk, memory, strict=True):
        np.testing.assert_array_equal(found, expected)


class PowerCutError(Exception):
    pass


@pytest.mark.long("pipeline/training")
def test_interrupted_or_not(tmp_path: Path) -> None:
    def cut(number: int, _logs: object = None) -> None:
        if number == 2:
            raise PowerCutError

    checkpoint = Checkpoint(tmp_path, {})
    with pytest.raises(PowerCutError):
        trained(
            network(dropout=0.25),
            parts=4,
            epochs=4,
            checkpoint=checkpoint,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=cut)],
        )
    resumed, resumed_history = trained(
        network(dropout=0.25), parts=4, epochs=4, checkpoint=checkpoint
    )
    whole, history = trained(network(dropout=0.25), parts=4, epochs=4)
    assert resumed_history == history
    for found, expected in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.long("pipeline/training")
def test_batch_normalization_learns_from_shards() -> None:
    _, history = trained(colour_network(), parts=4, epochs=12, count=100)
    assert history["accuracy"][-1] > 0.8
    assert history["val_accuracy"][-1] > 0.7  # by the moving statistics

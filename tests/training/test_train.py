"""What ends a training."""

import json
from pathlib import Path

import keras
import pytest

from pipeline.errors import InputError, TrainingError
from pipeline.params import Augment, Params
from pipeline.records import read_yaml
from pipeline.train import Outputs, Trained, class_weights, train, write
from pipeline.training import progress
from tests.support import suite_params
from tests.training.support import colours, images

PARAMS = Params.model_validate(read_yaml(suite_params().encode(), "params.yaml"))


def run(folder: Path, augment: Augment = PARAMS.augment, **changes: object) -> Trained:
    return train(
        PARAMS.model,
        PARAMS.train.model_copy(update=changes),
        augment,
        training=images(50),
        validation=images(20, seed=1),
        checkpoints=folder,
    )


class Stop(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends a training after an epoch, as a setting of Keras's would."""

    def __init__(self, _epochs: int) -> None:
        super().__init__()

    def on_epoch_end(self, *_: object) -> None:
        self.model.stop_training = True

    def close(self) -> None:
        """Has no bar."""


def test_class_weights_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    split = colours(200, shares=(0.94, 0.04, 0.02))
    assert class_weights(PARAMS.train, split) is None
    assert capsys.readouterr().out == ""
    weights = class_weights(PARAMS.train.model_copy(update={"class_weights": "balanced"}), split)
    assert weights is not None
    assert weights.tolist() == pytest.approx([200 / (3 * 188), 200 / (3 * 8), 200 / (3 * 4)])
    assert capsys.readouterr().out == (
        "class weights from 0.355 to 16.7, 1 on average over the images: loss is weighted, "
        "val_loss is not\n"
    )


def test_a_training_that_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "Progress", Stop)
    with pytest.raises(TrainingError, match=f"ended after 1 of {PARAMS.train.epochs} epochs; run"):
        run(tmp_path)


def test_the_metrics_describe_the_weights_that_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = run(tmp_path, epochs=60, keep="best", patience=3, schedule="constant")
    accuracies = trained.history["val_accuracy"]
    best = accuracies.index(max(accuracies))
    assert trained.epoch == best == len(accuracies) - 1 - 3
    printed = capsys.readouterr().out
    assert f"stopped after epoch {best + 4}: val_accuracy did not rise for 3 epochs" in printed
    assert f"kept the weights after epoch {best + 1}, the best by val_accuracy" in printed

    outputs = Outputs(*(tmp_path / name for name in ("model.keras", "history", "train", "made")))
    write(trained, outputs)
    assert json.loads(outputs.metrics.read_text())["final"] == {
        name: values[best] for name, values in trained.history.items()
    }
    assert len(outputs.history.read_text().splitlines()) == 1 + len(accuracies)


def test_a_batch_that_cannot_be_filled(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"batch_size: found 51, expected at most the 50 training"):
        run(tmp_path, batch_size=51, drop_last=True)


def test_a_square_larger_than_the_images(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"erase: found 5, expected at most 4, the shorter side"):
        run(tmp_path, PARAMS.augment.model_copy(update={"erase": 5}))

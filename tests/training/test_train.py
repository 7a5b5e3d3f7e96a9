"""What ends a training."""

from pathlib import Path

import keras
import pytest

from pipeline.errors import InputError, TrainingError
from pipeline.params import Params
from pipeline.records import read_yaml
from pipeline.train import Trained, train
from pipeline.training import progress
from tests.support import suite_params
from tests.training.support import images

PARAMS = Params.model_validate(read_yaml(suite_params().encode(), "params.yaml"))


def run(folder: Path, **changes: object) -> Trained:
    return train(
        PARAMS.model,
        PARAMS.train.model_copy(update=changes),
        PARAMS.augment,
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


def test_a_training_that_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "Progress", Stop)
    with pytest.raises(TrainingError, match=f"ended after 1 of {PARAMS.train.epochs} epochs; run"):
        run(tmp_path)


def test_a_batch_that_cannot_be_filled(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"batch_size: found 51, expected at most the 50 training"):
        run(tmp_path, batch_size=51, drop_last=True)

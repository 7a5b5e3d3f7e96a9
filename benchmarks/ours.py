"""The training engine of the pipeline, started as the train stage starts it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.training import compile_cache

compile_cache.start()

import keras  # noqa: E402

from benchmarks.archives import load  # noqa: E402
from benchmarks.clock import Clock  # noqa: E402
from benchmarks.ways import Training  # noqa: E402
from pipeline.data.split import Split  # noqa: E402
from pipeline.training.augment import Augmentation  # noqa: E402
from pipeline.training.checkpoint import Checkpoint, State  # noqa: E402
from pipeline.training.engine import fit  # noqa: E402
from pipeline.training.models import cnn, mlp  # noqa: E402
from pipeline.training.optimizers import make_loss  # noqa: E402


class TimedCheckpoint(Checkpoint):
    """A checkpoint that counts the seconds it takes."""

    seconds = 0.0

    def save(self, state: State) -> None:
        """Replaces the previous state."""
        started = time.perf_counter()
        super().save(state)
        self.seconds += time.perf_counter() - started


def train(
    folder: Path,
    units: list[int],
    batch_size: int,
    epochs: int,
    *,
    seed: int = 0,
    filters: Sequence[int] = (),
    regularised: bool = False,
    enough: float = 2.0,
    checkpoints: Path | None = None,
) -> Training:
    """Trains a new network until its accuracy on the test images is `enough`."""
    train_split, test_split = (
        Split(*load(folder, name), tuple("0123456789"), 255) for name in ("train", "t10k")
    )
    keras.utils.set_random_seed(seed)
    clock = Clock(enough)
    keep = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: compile_cache.keep())
    checkpoint = TimedCheckpoint(checkpoints, {}) if checkpoints else None
    dense: dict[str, Any] = {"hidden_units": units, "dropout": 0.2 if regularised else 0.0}
    shape = (28, 28), 10, 1 / 255
    fit(
        cnn(*shape, filters=[*filters], **dense) if filters else mlp(*shape, **dense),
        train_split,
        test_split,
        optimizer=keras.optimizers.Adam(weight_decay=1e-4 if regularised else None),
        loss=make_loss(0.1 if regularised else 0.0),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        augmentation=Augmentation(shift=2 if regularised else 0),
        callbacks=[clock, keep],
        checkpoint=checkpoint,
    )
    if checkpoint:
        return clock.training._replace(saving=checkpoint.seconds)
    return clock.training

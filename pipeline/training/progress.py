"""Callbacks that report the progress of a training and stop one that diverged."""

import math
import sys
import time
from typing import NoReturn

import keras
from tqdm import tqdm

from pipeline.errors import TrainingError


class Progress(keras.callbacks.Callback):
    """Shows a bar over the epochs on a terminal, a line for each epoch anywhere else."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.bar: tqdm[NoReturn] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.started = time.perf_counter()
        if self.bar is None and sys.stdout.isatty():
            self.bar = tqdm(
                total=self.epochs, initial=epoch, unit="epoch", file=sys.stdout, dynamic_ncols=True
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Called by Keras."""
        if self.bar is not None:
            self.bar.set_postfix({name: f"{value:.4f}" for name, value in logs.items()}, False)
            self.bar.update()
            if epoch + 1 == self.epochs:
                self.bar.close()
            return
        number = f"{epoch + 1:{len(str(self.epochs))}}/{self.epochs}"
        values = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        print(f"epoch {number}  {values}  {time.perf_counter() - self.started:.1f} s")


class StopUnlessFinite(keras.callbacks.Callback):
    """Stops a training that has diverged; no later epoch would recover."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Called by Keras.

        Raises:
            TrainingError: a loss or an accuracy is NaN or infinite.
        """
        for name, value in logs.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"{name} is {value} after epoch {epoch + 1}; "
                    f"lower train.learning_rate in params.yaml"
                )

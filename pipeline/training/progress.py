"""Callbacks that report the progress of a training and stop one that diverged."""

import math
import sys
import time
from statistics import mean
from typing import NoReturn

import keras
from tqdm import tqdm

from pipeline.errors import TrainingError
from pipeline.records import HISTORY_COLUMNS

WIDTHS = {name: max(7, len(name)) for name in HISTORY_COLUMNS[1:]}  # of the columns
BAR = "{desc} |{bar}| {n_fmt}/{total_fmt}{postfix}"


class Progress(keras.callbacks.Callback):
    """Prints a row for each epoch; below them, on a terminal, a bar with the time left."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.seconds: list[float] = []  # of each epoch here; the first one includes compilation
        self.bar: tqdm[NoReturn] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        if not self.seconds:
            names = (f"{name:>{width}}" for name, width in WIDTHS.items())
            print(" " * len(self._number(epoch)), *names, sep="  ")
            if sys.stdout.isatty():
                self.bar = tqdm(
                    desc="compiling",
                    total=self.epochs,
                    initial=epoch,
                    bar_format=BAR,
                    file=sys.stdout,
                    dynamic_ncols=True,
                    leave=False,
                )
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Called by Keras."""
        self.seconds.append(time.perf_counter() - self.started)
        values = (f"{logs[name]:{width}.4f}" for name, width in WIDTHS.items())
        row = "  ".join((self._number(epoch), *values, f"{self.seconds[-1]:5.1f} s"))
        if self.bar is None:
            print(row)
            return
        self.bar.n = epoch + 1
        self.bar.set_description_str("training", refresh=False)
        if left := self._left(epoch):
            self.bar.set_postfix_str(f"{tqdm.format_interval(left)} left", refresh=False)
        self.bar.write(row, file=sys.stdout)  # above the bar, which it draws again

    def close(self) -> None:
        """Clears the bar. Keras does not call it: a training may end by an exception."""
        if self.bar is not None:
            self.bar.close()

    def _number(self, epoch: int) -> str:
        return f"epoch {epoch + 1:{len(str(self.epochs))}}/{self.epochs}"

    def _left(self, epoch: int) -> float:
        """Seconds until the last epoch ends; 0 if none ran yet without compilation."""
        return mean(self.seconds[1:] or [0]) * (self.epochs - epoch - 1)


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

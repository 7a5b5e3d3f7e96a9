"""A Keras callback that records when each epoch ended, and how good the network was."""

import time

import keras

from benchmarks.ways import Training


class Clock(keras.callbacks.Callback):
    """Fills `training`, and stops at an accuracy."""

    def __init__(self, enough: float) -> None:
        super().__init__()
        self.enough = enough
        self.created = time.perf_counter()
        self.training = Training([], [], [])

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        """Called by Keras."""
        now = time.perf_counter()
        self.training.seconds.append(now - self.started)
        self.training.elapsed.append(now - self.created)
        self.training.accuracy.append(logs["val_accuracy"])
        self.model.stop_training = logs["val_accuracy"] >= self.enough

"""Ways to train, each in a lasting process of its own: what one sets up does not affect another.

A way is a module with a function `train`. It is imported only in its process.
"""

import importlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple


class Training(NamedTuple):
    """What was observed of a training, an item for each epoch."""

    seconds: list[float]  # of the epoch, validation included
    elapsed: list[float]  # since the network existed, not compiled yet
    accuracy: list[float]  # on the test images
    saving: float = 0.0  # seconds that all checkpoints took


class Way:
    """The `train` of a module, on the MNIST archives in `folder`."""

    def __init__(self, module: str, folder: Path) -> None:
        self.module = module
        self.folder = folder
        context = multiprocessing.get_context("spawn")
        self.process = ProcessPoolExecutor(1, context, initializer=_silence)

    def train(self, units: list[int], batch_size: int, epochs: int, **options: Any) -> Training:  # noqa: ANN401
        """Trains a network with `units` neurons in each hidden layer."""
        arguments = (self.folder, units, batch_size, epochs)
        return self.process.submit(_train, self.module, arguments, options).result()


def _silence() -> None:
    """Keeps TensorFlow's log out of the table; exceptions come back all the same."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _train(module: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Training:
    training: Training = importlib.import_module(module).train(*arguments, **options)
    return training

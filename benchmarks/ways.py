"""Ways to train, each in a process of its own that stays: what one sets up does not touch another.

A way is a module with a function `train`. It is imported in its process alone.
"""

import importlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple


class Training(NamedTuple):
    """What was seen of a training, an item for each epoch."""

    seconds: list[float]  # of the epoch, validation included
    elapsed: list[float]  # since the network was there, not compiled yet
    accuracy: list[float]  # on the test images
    keeping: float = 0.0  # seconds that checkpoints took in all


class Way:
    """A module's `train` on the MNIST archives in `folder`."""

    def __init__(self, module: str, folder: Path) -> None:
        self.module = module
        self.folder = folder
        context = multiprocessing.get_context("spawn")
        self.process = ProcessPoolExecutor(1, context, initializer=_silence)

    def train(self, units: list[int], batch_size: int, epochs: int, **options: Any) -> Training:  # noqa: ANN401
        """Trains a network with so many hidden `units`."""
        arguments = (self.folder, units, batch_size, epochs)
        return self.process.submit(_train, self.module, arguments, options).result()


def _silence() -> None:
    """Keeps what TensorFlow logs out of the table; an exception comes back all the same."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _train(module: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Training:
    training: Training = importlib.import_module(module).train(*arguments, **options)
    return training

"""Ways to train, each in a process of its own: what one sets up does not affect another.

A way is a module with a function `train`. It is imported only in its process.
"""

import importlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.program import NO_COMPILE_CACHE


class Training(NamedTuple):
    """What was observed of a training, an item for each epoch."""

    seconds: list[float]  # of the epoch, validation included
    elapsed: list[float]  # since the network existed, not compiled yet
    accuracy: list[float]  # on the test images
    saving: float = 0.0  # seconds that all checkpoints took


class Way:
    """The `train` of a module, on the MNIST archives in `folder`."""

    def __init__(
        self, module: str, folder: Path, *, lasting: bool = True, cache: Path | None = None
    ) -> None:
        """A way to train.

        Args:
            module: has the function.
            folder: of the archives.
            lasting: one process for all trainings, instead of one for each.
            cache: the user's cache folder, where compiled programs are kept; None to keep none.
        """
        self.module = module
        self.folder = folder
        variable = {"XDG_CACHE_HOME": str(cache)} if cache else {NO_COMPILE_CACHE: "1"}
        self.process = ProcessPoolExecutor(
            1,
            multiprocessing.get_context("spawn"),
            initializer=_prepare,
            initargs=(variable,),
            max_tasks_per_child=None if lasting else 1,
        )

    def train(self, units: list[int], batch_size: int, epochs: int, **options: Any) -> Training:  # noqa: ANN401
        """Trains a network with `units` neurons in each hidden layer."""
        arguments = (self.folder, units, batch_size, epochs)
        return self.process.submit(_train, self.module, arguments, options).result()


def _prepare(variables: dict[str, str]) -> None:
    """Keeps TensorFlow's log out of the table; exceptions come back all the same."""
    os.environ |= variables
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _train(module: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Training:
    training: Training = importlib.import_module(module).train(*arguments, **options)
    return training

"""The four archives of MNIST as arrays."""

import gzip
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@cache
def load(folder: Path, name: str) -> tuple[Bytes, Bytes]:
    """The images, (N, 28, 28), and the labels, (N,), of `train` or `t10k`."""
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images, labels

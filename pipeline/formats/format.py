"""What a format of exported models has to offer."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import keras

ABOUT = "about.json"  # the file with the class names, where a format holds files
INPUT, OUTPUT = "pixels", "logits"  # names of the tensors

# From raw pixels, (N, height, width) or (N, height, width, 3), to logits, (N, classes).
Run = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class Format(Protocol):
    """A module of this package."""

    NAME: str
    SUFFIX: str  # of its files; empty if it is a folder
    PRECISIONS: tuple[str, ...]  # of the weights
    PACKAGES: tuple[str, ...]  # that it needs beyond requirements.lock

    def write(
        self, network: "keras.Model", precision: str, about: Mapping[str, Any], path: Path, /
    ) -> None:
        """Writes `network` to `path`, which is new."""

    def load(self, path: Path, /) -> Run:
        """What the file at `path` computes."""

    def about(self, path: Path, /) -> dict[str, Any]:
        """What `write` said in the file at `path`; nothing if it did not write it."""

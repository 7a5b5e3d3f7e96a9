"""Which examples serve for what, and how they lie on the disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import replacing_folder, write_json
from pipeline.errors import InputError


@dataclass(frozen=True)
class Split:
    """Labelled images: for training, for validation, or for the final test."""

    images: NDArray[np.uint8]  # (N, height, width)
    labels: NDArray[np.uint8]  # (N,), each an index into class_names
    class_names: tuple[str, ...]

    def take(self, indices: NDArray[np.intp]) -> Self:
        """The examples at `indices`, in that order."""
        return type(self)(self.images[indices], self.labels[indices], self.class_names)

    def save(self, folder: Path) -> None:
        """Writes images.npy, labels.npy and classes.json into `folder`, all or none."""
        with replacing_folder(folder) as temporary:
            np.save(temporary / "images.npy", self.images)
            np.save(temporary / "labels.npy", self.labels)
            write_json(temporary / "classes.json", {"names": list(self.class_names)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; the images are mapped into memory, read-only.

        Raises:
            InputError: `folder` is not there or not whole.
        """
        try:
            names = json.loads((folder / "classes.json").read_text(encoding="utf-8"))["names"]
            images = np.load(folder / "images.npy", mmap_mode="r")
            labels = np.load(folder / "labels.npy")
        except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{folder}: cannot be read ({error}); run dvc repro") from error
        return cls(images, labels, tuple(names))


def stratified(labels: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.bool_]:
    """Chooses `count` examples at random, from every class its share.

    The shares are rounded by the method of largest remainders (Hamilton's), so that they add up to
    `count` and each is within 1 of exact.

    Args:
        labels: (N,) the class of each example.
        count: how many to choose, 0 to N.
        seed: the same seed chooses the same examples.

    Returns:
        (N,) True where an example is chosen.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    chosen = np.zeros(len(labels), dtype=np.bool_)
    classes, sizes = np.unique(labels, return_counts=True)
    shares = sizes * count // len(labels)
    remainders = sizes * count % len(labels)
    shares[np.argsort(-remainders, kind="stable")[: count - shares.sum()]] += 1
    for label, share in zip(classes, shares, strict=True):
        chosen[generator.permutation(np.flatnonzero(labels == label))[:share]] = True
    return chosen

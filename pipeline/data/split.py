"""Labelled images: how they are held out, and how they are stored."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import json_bytes
from pipeline.errors import InputError


@dataclass(frozen=True)
class Split:
    """Labelled images for training, for validation or for the final test."""

    images: NDArray[np.uint8]  # (N, height, width)
    labels: NDArray[np.uint8]  # (N,), indices into class_names
    class_names: tuple[str, ...]
    largest_pixel: int  # of the training images: what counts as full intensity

    def select(self, indices: NDArray[np.intp]) -> Self:
        """The examples at `indices`, in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def save(self, folder: Path) -> None:
        """Writes images.npy, labels.npy and about.json into a new `folder`."""
        folder.mkdir()
        np.save(folder / "images.npy", self.images)
        np.save(folder / "labels.npy", self.labels)
        about = {"class_names": list(self.class_names), "largest_pixel": self.largest_pixel}
        (folder / "about.json").write_bytes(json_bytes(about))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; the images are mapped into memory, read-only.

        Raises:
            InputError: `folder` is missing or damaged.
        """
        try:
            about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
            images = np.load(folder / "images.npy", mmap_mode="r")
            labels = np.load(folder / "labels.npy")
            return cls(images, labels, tuple(about["class_names"]), int(about["largest_pixel"]))
        except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{folder}: cannot be read ({error})") from error


def stratified(labels: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.bool_]:
    """Chooses `count` examples at random, the same share of every class.

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

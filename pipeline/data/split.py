"""Labelled images: how they are held out, and how they are stored."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import json_bytes
from pipeline.errors import InputError

IMAGES, LABELS, ABOUT = "images.npy", "labels.npy", "about.json"


@dataclass(frozen=True)
class Split:
    """Labelled images for training, for validation or for the final test."""

    images: NDArray[np.uint8]  # (N, height, width), or (N, height, width, 3) in colour
    labels: NDArray[np.unsignedinteger[Any]]  # (N,), indices into class_names
    class_names: tuple[str, ...]
    largest_pixel: int  # of the training images: what counts as full intensity
    prepare: str = "pad"  # how a picture becomes such an image, see `prepare.Recipe`

    def select(self, indices: NDArray[np.intp]) -> Self:
        """The examples at `indices`, in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    @property
    def about(self) -> dict[str, Any]:
        """What a model keeps of the images that it learned from."""
        return _about(self.class_names, self.largest_pixel, self.prepare)

    def save(self, folder: Path) -> None:
        """Writes images.npy, labels.npy and about.json into a new `folder`."""
        writer = SplitWriter(folder)
        writer.write_images(self.images.shape, [self.images])
        writer.write_labels(self.labels, len(self.class_names))
        writer.write_about(self.class_names, self.largest_pixel, self.prepare)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `save` wrote; the images are mapped into memory, read-only.

        Raises:
            InputError: `folder` is missing or damaged.
        """
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            images = np.load(folder / IMAGES, mmap_mode="r")
            labels = np.load(folder / LABELS)
            names, largest = tuple(about["class_names"]), int(about["largest_pixel"])
            return cls(images, labels, names, largest, about["prepare"])
        except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{folder}: cannot be read ({error})") from error


class SplitWriter:
    """Writes a split piece by piece, for `Split.load` to read."""

    def __init__(self, folder: Path) -> None:
        """Into a new `folder`."""
        folder.mkdir()
        self.folder = folder

    def write_images(self, shape: tuple[int, ...], chunks: Iterable[NDArray[np.uint8]]) -> None:
        """Writes images.npy.

        Args:
            shape: (N, height, width) or (N, height, width, 3).
            chunks: the images in order, N in all.
        """
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with (self.folder / IMAGES).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk).data)

    def write_labels(self, labels: NDArray[np.integer[Any]], classes: int) -> None:
        """Writes labels.npy, in the smallest type that has a value for each class."""
        np.save(self.folder / LABELS, labels.astype(np.min_scalar_type(classes - 1)))

    def write_about(self, class_names: tuple[str, ...], largest_pixel: int, prepare: str) -> None:
        """Writes about.json, see the fields of `Split`."""
        about = _about(class_names, largest_pixel, prepare)
        (self.folder / ABOUT).write_bytes(json_bytes(about))


def _about(class_names: tuple[str, ...], largest_pixel: int, prepare: str) -> dict[str, Any]:
    return {
        "class_names": list(class_names),
        "largest_pixel": largest_pixel,
        "prepare": prepare,
    }


def stratified(labels: NDArray[np.integer[Any]], count: int, seed: int) -> NDArray[np.bool_]:
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

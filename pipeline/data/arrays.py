"""Images and labels that are arrays in files, read piece by piece."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.data.columns import AT_ONCE
from pipeline.data.datasets import Description
from pipeline.data.parts import ArrayChunk, Part, SplitName, encode_labels
from pipeline.errors import InputError, IntegrityError

CHUNK = 1 << 20  # bytes
COLOUR = 3  # channels
BYTE = 255  # the largest pixel
LARGEST = 1 << 30  # bytes of an image; more can only be damage


@dataclass(frozen=True)
class Stored:
    """An array in a file, in row-major order."""

    source: str  # for messages
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    open: Callable[[], AbstractContextManager[BinaryIO]]  # at its first byte

    def rows(self, count: int) -> Iterator[NDArray[Any]]:
        """The array, `count` rows at a time.

        Raises:
            IntegrityError: the file is damaged, too short or too long.
        """
        shape = self.shape[1:]
        size = math.prod(shape) * self.dtype.itemsize  # bytes of a row
        if size > LARGEST:
            raise IntegrityError(
                f"{self.source}: promises rows of shape {shape}, which are {size:,} bytes each"
            )
        with self.open() as stream:
            for start in range(0, self.shape[0], count):
                rows = min(count, self.shape[0] - start)
                content = stream.read(rows * size)
                if len(content) != rows * size:
                    raise IntegrityError(
                        f"{self.source}: promises {self.shape[0]:,} rows of shape {shape}, ends "
                        f"in row {start + len(content) // max(1, size) + 1:,}"
                    )
                yield np.frombuffer(content, self.dtype).reshape(rows, *shape)
            if stream.read(1):  # which also checks the whole of a compressed file
                raise IntegrityError(
                    f"{self.source}: promises {self.shape[0]:,} rows of shape {shape}, more follow"
                )


def part(split: SplitName, images: Stored, labels: Stored, about: Description) -> Part:
    """The part that two arrays make.

    Raises:
        InputError: they are not images and labels.
        IntegrityError: there are not as many labels as images.
    """
    _check_images(images)
    if images.shape[:1] != labels.shape[:1]:
        raise IntegrityError(
            f"{labels.source}: found {math.prod(labels.shape[:1]):,} labels, expected one for each "
            f"of {images.shape[0]:,} images in {images.source}"
        )
    column = about.label if isinstance(about.label, int) else None
    positions, values = encode_labels(_labels(labels, column))
    return Part(
        split,
        labels.source,
        positions,
        values,
        lambda: image_chunks(images, transposed=about.transposed),
    )


def _check_images(images: Stored) -> None:
    shape = images.shape[1:]
    known = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, COLOUR))  # noqa: PLR2004
    if not known or 0 in images.shape:
        raise InputError(
            f"{images.source}: found an array of shape {images.shape}, expected images, "
            f"(N, height, width) or (N, height, width, 3)"
        )
    if images.dtype.kind not in "bui":
        raise InputError(
            f"{images.source}: found pixels of type {images.dtype}, expected whole numbers from 0 "
            f"to {BYTE}; multiply those from 0 to 1 by {BYTE}, and store them as uint8"
        )


def image_chunks(images: Stored, *, transposed: bool) -> Iterator[ArrayChunk]:
    """Images piece by piece.

    Raises:
        InputError: a pixel is not from 0 to 255.
        IntegrityError: the file ends too early.
    """
    size = math.prod(images.shape[1:]) * images.dtype.itemsize
    for rows in images.rows(max(1, CHUNK // size)):
        pixels = rows[..., 0] if rows.shape[3:] == (1,) else rows
        if transposed:
            pixels = pixels.swapaxes(1, 2)
        yield ArrayChunk(images.source, as_bytes(pixels, images.source))


def as_bytes(pixels: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """Whole numbers from 0 to 255 as uint8.

    Raises:
        InputError: one is not in this range.
    """
    if pixels.dtype != np.uint8 and pixels.size and not 0 <= pixels.min() <= pixels.max() <= BYTE:
        found = pixels.min() if pixels.min() < 0 else pixels.max()
        raise InputError(f"{source}: found the pixel {found}, expected 0 to {BYTE}")
    return pixels.astype(np.uint8, copy=False)


def _labels(labels: Stored, column: int | None) -> NDArray[Any]:
    """(N,) whole numbers or text."""
    values = np.empty(labels.shape, labels.dtype)
    start = 0
    for rows in labels.rows(AT_ONCE):
        values[start : start + len(rows)] = rows
        start += len(rows)
    if values.ndim > 1:
        values = values.reshape(len(values), -1)
        if values.shape[1] > 1 and column is None:
            raise InputError(
                f"{labels.source}: found labels of shape {labels.shape}, expected one for each "
                f"image: the argmax of each row if they are one-hot, or a column that dataset.yaml "
                f"names, such as label: 0"
            )
        if not -values.shape[1] <= (column or 0) < values.shape[1]:
            raise InputError(
                f"{labels.source}: found {values.shape[1]} columns of labels, and label: {column} "
                f"in dataset.yaml is none of them"
            )
        values = values[:, column or 0]
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{labels.source}: found labels that are not UTF-8") from error
    if values.dtype.kind == "f":
        return _whole(values, labels.source)
    if values.dtype.kind not in "biuU":
        raise InputError(
            f"{labels.source}: found labels of type {values.dtype}, expected whole numbers or text"
        )
    return values


def _whole(values: NDArray[np.floating[Any]], source: str) -> NDArray[np.int64]:
    wrong = np.flatnonzero(~np.isfinite(values) | (values != np.trunc(values)))
    if len(wrong):
        raise InputError(
            f"{source}: found the label {values[wrong[0]]} at position {wrong[0]}, expected a "
            f"whole number"
        )
    return values.astype(np.int64)

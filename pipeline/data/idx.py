"""IDX, the format of MNIST.

Format: two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit
integer, then the values in row-major order, big-endian.
Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from pipeline.data import arrays
from pipeline.data.arrays import Stored
from pipeline.data.datasets import Description
from pipeline.data.files import Files
from pipeline.data.folder import Run
from pipeline.data.parts import SPLITS, Part, SplitName
from pipeline.errors import InputError, IntegrityError

TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
IMAGES = 3  # dimensions, at least


def read(files: Files, _runs: list[Run], about: Description) -> list[Part]:
    """The parts of a folder of IDX files: two of each split, images and labels.

    Raises:
        InputError: one is missing, or there are several.
        IntegrityError: a file is not what its header says.
    """
    found: dict[tuple[SplitName, str], list[Stored]] = {}
    for entry in files:
        array = stored(files.path(entry), files.name(entry))
        content = "images" if len(array.shape) >= IMAGES else "labels"
        found.setdefault((_split(entry.path), content), []).append(array)
    parts = []
    for split in dict.fromkeys(split for split, _ in found):
        pair = [found.get((split, content), []) for content in ("images", "labels")]
        for content, arrays_found in zip(("images", "labels"), pair, strict=True):
            if len(arrays_found) != 1:
                which = ", ".join(Path(one.source).name for one in arrays_found) or "none"
                whose = "" if split == "all" else f"{split} "
                raise InputError(
                    f"{files.root}: found {len(arrays_found)} files of {whose}{content} ({which}), "
                    f"expected one"
                )
        (images,), (labels,) = pair
        parts.append(arrays.part(split, images, labels, about))
    return parts


def _split(path: str) -> SplitName:
    """The split that the name of a file says, such as emnist-letters-test-images-idx3-ubyte."""
    words = re.split(r"[^a-z0-9]+", path.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), "all")


def stored(path: Path, source: str) -> Stored:
    """The array in an IDX file, which may be compressed.

    Args:
        path: the file.
        source: its name, for messages.

    Raises:
        IntegrityError: the header is of another format, or does not match the length of the file.
    """
    with _opened(path, source) as file:
        magic = file.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES:  # noqa: PLR2004
            raise IntegrityError(
                f"{source}: starts with {magic.hex(' ') or 'nothing'}, expected an IDX file, which "
                f"starts with 00 00 08 and the number of its dimensions"
            )
        dimensions = file.read(4 * magic[3])
    if len(dimensions) < 4 * magic[3]:
        raise IntegrityError(f"{source}: ends inside its header")
    shape = tuple(np.frombuffer(dimensions, ">u4").tolist())
    if not shape or 0 in shape:
        raise IntegrityError(f"{source}: is empty, its shape is {shape}")
    dtype, header = TYPES[magic[2]], 4 + len(dimensions)
    if not _is_compressed(path):
        promised, length = math.prod(shape) * dtype.itemsize, path.stat().st_size - header
        if promised != length:
            raise IntegrityError(
                f"{source}: its header promises {promised:,} bytes, a shape of {shape}, but "
                f"{length:,} follow"
            )
    return Stored(source, shape, dtype, partial(_opened, path, source, header))


def _is_compressed(path: Path) -> bool:
    return path.suffix == ".gz"


@contextmanager
def _opened(path: Path, source: str, position: int = 0) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path) if _is_compressed(path) else path.open("rb") as file:
            file.seek(position)
            yield cast("BinaryIO", file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise IntegrityError(f"{source}: is a broken .gz file ({error})") from error

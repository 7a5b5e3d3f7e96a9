"""A number for each image, by which duplicates are found and what a store serves is checked."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.data.columns import AT_ONCE, pieces

COMPARED = 1 << 15  # images that are compared with each other at once, at most or nearly so
DIGEST = 8  # bytes of an image's digest: among 10^6 images two share one with 3 in 10^8


def digests_of(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(N,) the same for the same pixels: BLAKE2b of 8 bytes for each image."""
    flat, size = np.ascontiguousarray(images).reshape(-1).data, math.prod(images.shape[1:])
    digests = [
        hashlib.blake2b(flat[start : start + size], digest_size=DIGEST).digest()
        for start in range(0, len(images) * size, size)
    ]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def alike(
    digests: Path, splits: NDArray[np.uint8]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.uint8]]]:
    """Compares all images with each other, those whose digests begin alike at a time.

    Args:
        digests: the file of those of N images.
        splits: (N,) the bits of the splits that each image is in.

    Yields:
        Of M images their positions among all, their own bits, and the bits of all images with the
        same pixels, (M,) each.
    """
    ranges = 1 << max(0, len(splits) // COMPARED).bit_length()  # of digests, a power of two
    for number in range(ranges):
        found = [
            (piece.start + where, some[where])
            for piece, some in zip(pieces(len(splits)), _read(digests), strict=True)
            if len(where := np.flatnonzero(some & (ranges - 1) == number))
        ]
        if found:
            positions, values = map(np.concatenate, zip(*found, strict=True))
            order = np.argsort(values)
            values = values[order]
            positions = positions[order]
            own = splits[positions]
            first = np.flatnonzero(np.diff(values, prepend=~values[:1]))  # of those with one digest
            together = np.bitwise_or.reduceat(own, first)
            yield positions, own, np.repeat(together, np.diff(first, append=len(own)))


def _read(digests: Path) -> Iterator[NDArray[np.uint64]]:
    with digests.open("rb") as file:
        while len(some := np.fromfile(file, np.uint64, AT_ONCE)):
            yield some

"""IDX, the format of MNIST: bytes to arrays and back, every header field checked.

Format: two zero bytes, a type code (8: unsigned byte), the number of dimensions, each dimension as
a big-endian 32-bit integer, then the values in row-major order.
Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits".
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError, IntegrityError

UNSIGNED_BYTE = 8
TYPES = {
    UNSIGNED_BYTE: "unsigned bytes",
    9: "signed bytes",
    11: "16-bit integers",
    12: "32-bit integers",
    13: "32-bit floats",
    14: "64-bit floats",
}
IMAGES = 3  # dimensions: (N, height, width)
LABELS = 1  # dimensions: (N,)


def read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Maps the array in `path` into memory, read-only.

    Args:
        path: an IDX file of unsigned bytes.
        dimensions: how many it must have, IMAGES or LABELS.

    Raises:
        InputError: there is no such file.
        IntegrityError: the header is of another kind, or does not match the length of the file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    length = path.stat().st_size
    header_length = 4 + 4 * dimensions
    with path.open("rb") as file:
        header = file.read(header_length)
    expected = bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if header[:4] != expected:
        raise IntegrityError(
            f"{path}: starts with {_meaning(header[:4])}, expected {expected.hex(' ')}, "
            f"an IDX file of unsigned bytes in {_dimensions(dimensions)}"
        )
    if length < header_length:
        raise IntegrityError(
            f"{path}: ends inside its header, after {length} of {header_length} bytes"
        )
    shape = tuple(int(size) for size in np.frombuffer(header, dtype=">u4", offset=4))
    if 0 in shape:
        raise IntegrityError(f"{path}: is empty, its shape is {shape}")
    if length != header_length + math.prod(shape):
        raise IntegrityError(
            f"{path}: its header promises {math.prod(shape):,} values of shape {shape}, "
            f"{length - header_length:,} follow"
        )
    return np.memmap(path, dtype=np.uint8, mode="r", offset=header_length, shape=shape)


def _meaning(magic: bytes) -> str:
    """The first four bytes of a file, and what they say if they are of an IDX file."""
    shown = magic.hex(" ") or "nothing"
    if len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in TYPES:  # noqa: PLR2004
        return f"{shown}, {TYPES[magic[2]]} in {_dimensions(magic[3])}"
    return shown


def _dimensions(count: int) -> str:
    return f"{count} dimension{'s' if count != 1 else ''}"


def encode(array: NDArray[np.uint8]) -> bytes:
    """The bytes of an IDX file that holds `array`, of any shape."""
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim])
    return header + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()

"""The binary version of CIFAR-10.

Format: records of a byte, the label, and 3 x 32 x 32 bytes, the red, green and blue channel of the
image. Source: Krizhevsky, "The CIFAR-10 dataset".
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.data.datasets import Description
from pipeline.data.files import Entry, Files
from pipeline.data.folder import Run
from pipeline.data.parts import ArrayChunk, Part, SplitName, encode_labels
from pipeline.errors import IntegrityError

SIDE = 32  # pixels
RECORD = 1 + 3 * SIDE * SIDE  # bytes
CHUNK = 1000  # images


def read(files: Files, _runs: list[Run], _about: Description) -> list[Part]:
    """The training and the test images.

    Raises:
        IntegrityError: a file is not a whole number of records.
    """
    entries: dict[SplitName, list[Entry]] = {}
    for entry in files:
        split: SplitName = "test" if "test_batch" in entry.path else "train"
        entries.setdefault(split, []).append(entry)
    return [_part(files, split, which) for split, which in entries.items()]


def _part(files: Files, split: SplitName, entries: Sequence[Entry]) -> Part:
    labels = np.concatenate([_records(files, entry)[:, 0] for entry in entries])
    return Part(split, str(files.root), *encode_labels(labels), lambda: _chunks(files, entries))


def _chunks(files: Files, entries: Sequence[Entry]) -> Iterator[ArrayChunk]:
    for entry in entries:
        pixels = _records(files, entry)[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        for start in range(0, len(pixels), CHUNK):
            yield ArrayChunk(files.name(entry), np.ascontiguousarray(pixels[start : start + CHUNK]))


def _records(files: Files, entry: Entry) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """(N, RECORD) bytes."""
    content = files.read(entry)
    if not content or len(content) % RECORD:
        raise IntegrityError(
            f"{files.name(entry)}: has {len(content):,} bytes, expected a multiple of {RECORD:,}"
        )
    return np.frombuffer(content, np.uint8).reshape(-1, RECORD)

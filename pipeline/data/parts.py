"""What a reader finds: the images of each split with their labels, to be decoded later."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.data.columns import pieces
from pipeline.data.files import Entry, Files

SplitName = Literal["train", "validation", "test", "all"]  # all: the data do not say

PICTURES_AT_ONCE = 128  # in a chunk

SPLITS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "t10k": "test",
    "eval": "test",
}


class Chunk(Protocol):
    """Some images, which another process can decode."""

    def __len__(self) -> int:
        """How many."""

    def load(self) -> "Pictures | ArrayChunk":
        """What is to be decoded.

        Raises:
            InputError: the data are not what they must be.
            IntegrityError: they have changed.
        """


@dataclass(frozen=True)
class Part:
    """The images of one split."""

    split: SplitName
    source: str  # where they are, for messages
    labels: NDArray[np.integer[Any]]  # (N,) positions in `values`
    values: tuple[str, ...]  # what the data call the classes
    chunks: Callable[[], Iterator[Chunk]]  # N images in all
    in_order: bool = False  # whether `values` are all classes, in the order they are to have


class Pictures(ABC):
    """Images that are encoded, as in files."""

    @abstractmethod
    def __len__(self) -> int:
        """How many."""

    @abstractmethod
    def __iter__(self) -> Iterator[bytes]:
        """The bytes of each.

        Raises:
            IntegrityError: they have changed.
        """

    @abstractmethod
    def name(self, number: int) -> str:
        """What the one with this number, from 0, is called in messages."""

    def load(self) -> "Pictures":
        """As `Chunk`."""
        return self


@dataclass(frozen=True)
class FileChunk(Pictures):
    """Pictures in files of their own."""

    files: Files
    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[bytes]:
        return map(self.files.read, self.entries)

    def name(self, number: int) -> str:
        """As `Pictures`."""
        return self.files.name(self.entries[number])


@dataclass(frozen=True)
class NamedChunk(Pictures):
    """The bytes of pictures, and what to call each."""

    names: tuple[str, ...]
    pictures: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pictures)

    def name(self, number: int) -> str:
        """As `Pictures`."""
        return self.names[number]


def selected(chunk: Chunk, numbers: Sequence[int]) -> Chunk:
    """The images of a chunk with these numbers, which count from 0."""
    if isinstance(chunk, FileChunk):
        return FileChunk(chunk.files, tuple(chunk.entries[number] for number in numbers))
    content = chunk.load()
    if isinstance(content, ArrayChunk):
        return ArrayChunk(content.source, content.pixels[[*numbers]])
    pictures = [*content]
    return NamedChunk(
        tuple(map(content.name, numbers)), tuple(pictures[number] for number in numbers)
    )


def carried(chunk: Chunk) -> Chunk:
    """The same chunk for a machine that does not have its files.

    Raises:
        IntegrityError: they have changed.
    """
    if not isinstance(chunk, FileChunk):
        return chunk  # it has its bytes in itself
    return NamedChunk(tuple(map(chunk.name, range(len(chunk)))), tuple(chunk))


def file_chunks(files: Files, entries: Iterable[Entry]) -> Iterator[FileChunk]:
    """Pictures in files of their own, some at a time."""
    iterator = iter(entries)
    while batch := tuple(islice(iterator, PICTURES_AT_ONCE)):
        yield FileChunk(files, batch)


@dataclass(frozen=True)
class BytesChunk(Pictures):
    """Pictures in rows of a table."""

    source: str
    start: int  # the row of the first one, counted from 1
    pictures: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pictures)

    def name(self, number: int) -> str:
        """As `Pictures`."""
        return f"{self.source}: row {self.start + number:,}"


@dataclass(frozen=True)
class ArrayChunk:
    """Pixels."""

    source: str
    pixels: NDArray[np.uint8]  # (N, height, width) or (N, height, width, 3)

    def __len__(self) -> int:
        return len(self.pixels)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return iter(self.pixels)

    def name(self, _number: int) -> str:
        """Where it is, for messages."""
        return self.source

    def load(self) -> "ArrayChunk":
        """As `Chunk`."""
        return self


def split_of(name: str) -> SplitName | None:
    """The split that a name stands for, such as `Train` or `val`."""
    return SPLITS.get(name.lower())


def encode_labels(
    labels: Sequence[object] | NDArray[Any],
) -> tuple[NDArray[np.unsignedinteger[Any]], tuple[str, ...]]:
    """Labels of any kind as positions in a tuple of what they say, in the smallest type."""
    found = np.asarray(labels).reshape(-1)
    some = [np.unique(found[piece]) for piece in pieces(len(found))]
    values = np.unique(np.concatenate([found[:0], *some]))
    positions = np.empty(len(found), np.min_scalar_type(max(0, len(values) - 1)))
    for piece in pieces(len(found)):
        positions[piece] = np.searchsorted(values, found[piece])
    return positions, tuple(map(str, values.tolist()))

"""CSV tables with a column for each pixel, as Kaggle has them, or with paths of pictures."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from pipeline.data import csvfile, listing
from pipeline.data.arrays import BYTE, COLOUR
from pipeline.data.csvfile import FEWEST, LABELS, FirstRows
from pipeline.data.datasets import Description
from pipeline.data.files import Entry, Files
from pipeline.data.folder import Run
from pipeline.data.parts import ArrayChunk, Part, encode_labels, split_of
from pipeline.errors import InputError

CHUNK = 500  # rows
CONSTANT = 0.9  # share of its most frequent value from which a column is taken for a margin


@dataclass(frozen=True)
class Table:
    """A CSV file of pixels."""

    path: Path
    source: str  # its name, for messages
    delimiter: str
    header: list[str] | None
    columns: int
    label: int | None  # the column of the labels
    shape: tuple[int, ...]  # of an image

    def lines(self) -> Iterator[tuple[int, str]]:
        """Each row that is not empty, and the number of its line, from 1.

        Raises:
            InputError: a row is too short or too long.
        """
        for number, line in csvfile.lines(self.path, self.source, skip=self.header is not None):
            found = line.count(self.delimiter) + 1
            if found != self.columns:
                raise InputError(
                    f"{self.source}: line {number:,}: found {found} values, expected {self.columns}"
                )
            yield number, line

    def labels(self) -> list[str]:
        """(N,) the label in each row.

        Raises:
            InputError: one is missing.
        """
        column, labels = self.label or 0, []
        for number, line in self.lines():
            if column == self.columns - 1:
                label = line.rsplit(self.delimiter, 1)[-1]
            else:
                label = line.split(self.delimiter, column + 1)[column]
            labels.append(
                csvfile.checked_label(label.strip(' "'), f"{self.source}: line {number:,}")
            )
        return labels

    def chunks(self) -> Iterator["TextChunk"]:
        """The images."""
        lines = self.lines()
        while batch := list(islice(lines, CHUNK)):
            yield TextChunk(self, batch)


@dataclass(frozen=True)
class TextChunk:
    """Rows of pixels as text."""

    table: Table
    rows: list[tuple[int, str]]  # the number of the line, and the line

    def __len__(self) -> int:
        return len(self.rows)

    def load(self) -> ArrayChunk:
        """As `Chunk`."""
        table = self.table
        columns = [column for column in range(table.columns) if column != table.label]
        try:
            pixels = np.loadtxt(
                [line for _, line in self.rows],
                dtype=np.int64,
                delimiter=table.delimiter,
                quotechar='"',
                comments=None,
                usecols=columns,
                ndmin=2,
            )
        except ValueError as error:
            raise self._wrong_value() from error
        if len(pixels) != len(self) or pixels.min() < 0 or pixels.max() > BYTE:
            raise self._wrong_value()
        images = pixels.astype(np.uint8).reshape(len(pixels), *table.shape)
        return ArrayChunk(table.source, images)

    def _wrong_value(self) -> InputError:
        """What to say of the first value that is no pixel."""
        for number, line in self.rows:
            for column, quoted in enumerate(line.split(self.table.delimiter)):
                value = quoted.strip(' "')
                if column != self.table.label and not _is_pixel(value):
                    return InputError(
                        f"{self.table.source}: line {number:,}: found {value!r} in column "
                        f"{column + 1}, expected a whole number from 0 to {BYTE}"
                    )
        first, last = self.rows[0][0], self.rows[-1][0]
        return InputError(
            f"{self.table.source}: lines {first:,} to {last:,}: found quotation marks without "
            f"their second, expected whole numbers from 0 to {BYTE}"
        )


def _is_pixel(value: str) -> bool:
    return value.isascii() and value.isdigit() and int(value) <= BYTE


def read(files: Files, _runs: list[Run], about: Description) -> list[Part]:
    """The parts of CSV tables; one without labels, such as Kaggle's test.csv, is left out.

    Raises:
        InputError: a table is neither of pixels nor of paths, or a row is wrong.
    """
    parts = []
    pictures: dict[str, list[Entry]] | None = None
    for entry in files:
        if entry.kind != "csv":
            continue
        path, source = files.path(entry), files.name(entry)
        split = split_of(path.stem.rpartition("_")[2]) or "all"
        if _is_of_pixels(path, source):
            table = pixel_table(path, source, about)
            if table.label is None:
                print(f"{source}: has no labels, so it is left out; make predict classifies it")
            else:
                labels = encode_labels(table.labels())
                parts.append(Part(split, source, *labels, table.chunks))
        else:
            pictures = listing.pictures_by_name(files) if pictures is None else pictures
            parts += listing.read(files, entry, split, about, pictures)
    return parts


def pixel_table(path: Path, source: str, about: Description) -> Table:
    """What a CSV file of pixels looks like.

    Raises:
        InputError: the column of the labels or the shape of the images cannot be told.
    """
    begin = csvfile.first_rows(path, source)
    first, header, delimiter = begin
    label = _label_column(path, source, about, begin)
    count = len(first) - (label is not None)
    shape = tuple(about.shape or _shape(count, source))
    if math.prod(shape) != count:
        raise InputError(
            f"{source}: found {count} columns of pixels, expected {math.prod(shape)} for the shape "
            f"{list(shape)} in dataset.yaml"
        )
    return Table(path, source, delimiter, header, len(first), label, shape)


def _shape(count: int, source: str) -> tuple[int, ...]:
    """The shape of a square image of `count` values."""
    for channels in (1, COLOUR):
        side = math.isqrt(count // channels)
        if side * side * channels == count:
            return (side, side) if channels == 1 else (side, side, COLOUR)
    raise InputError(
        f"{source}: found {count} columns of pixels, which make no square image; say height and "
        f"width in dataset.yaml, such as shape: [28, 20]"
    )


def _label_column(path: Path, source: str, about: Description, begin: FirstRows) -> int | None:
    """The column of the labels; None if there is none."""
    first, header, delimiter = begin
    columns = len(first)
    if isinstance(about.label, int):
        if not -columns <= about.label < columns:
            raise InputError(
                f"{source}: found {columns} columns, and label: {about.label} in dataset.yaml is "
                f"none of them"
            )
        if _is_square(columns) and not _is_square(columns - 1):
            return None  # as in Kaggle's test.csv
        return about.label % columns
    if header is not None:
        return csvfile.named(header, about.label, LABELS, source, optional=True)
    if _is_square(columns):
        return None
    ends = [
        (line.split(delimiter, 1)[0], line.rsplit(delimiter, 1)[-1])
        for _, line in csvfile.lines(path, source)
    ]
    shares = [_most_frequent(values) for values in zip(*ends, strict=True)]
    if max(shares) >= CONSTANT > min(shares):  # the corner of an image is mostly background
        return 0 if shares[0] < shares[1] else columns - 1
    raise InputError(
        f"{source}: cannot tell whether the first or the last column has the labels; say label: 0 "
        f"or label: -1 in dataset.yaml"
    )


def _is_square(count: int) -> bool:
    return any(math.isqrt(count // k) ** 2 * k == count for k in (1, COLOUR))


def _most_frequent(values: Sequence[str]) -> float:
    """The share of the most frequent value."""
    counts = np.unique(np.asarray(values), return_counts=True)[1]
    return float(counts.max() / len(values))


def _is_of_pixels(path: Path, source: str) -> bool:
    """Whether a table has a column for each pixel."""
    first, header, delimiter = csvfile.first_rows(path, source)
    if header is None:
        return len(first) >= FEWEST
    row = next(csvfile.lines(path, source, skip=True), (0, ""))[1].split(delimiter)
    numbers = sum(csvfile.is_number(value) for value in row)
    return len(first) >= FEWEST and numbers >= len(row) - 1

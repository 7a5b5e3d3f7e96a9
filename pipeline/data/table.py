"""CSV tables: pixels and a label in each row as Kaggle has them, or a picture's path and its label.

The delimiter is a comma, a semicolon or a tab; a byte order mark and any line ends are accepted.
"""

import csv
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from pipeline.data.arrays import BYTE, COLOUR
from pipeline.data.datasets import Description
from pipeline.data.files import Entry, Files
from pipeline.data.folder import Run
from pipeline.data.parts import (
    ArrayChunk,
    Chunk,
    FileChunk,
    Part,
    SplitName,
    encode_labels,
    split_of,
)
from pipeline.errors import InputError

LABELS = ("label", "labels", "class", "category", "target")
IMAGES = ("image", "path", "file", "filename", "file_name", "filepath", "image_path", "id")
PIXEL = re.compile(r"[a-z_]*\d+([x._]\d+)?")  # a header such as pixel17, 1x3 or 17
DELIMITERS = ",;\t"
FEWEST = 5  # columns of a table of pixels
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
        for number, line in _lines(self.path, self.source, skip=self.header is not None):
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
            labels.append(_checked_label(label.strip(' "'), f"{self.source}: line {number:,}"))
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
            pictures = _by_name(files) if pictures is None else pictures
            parts += _listed(files, entry, split, about, pictures)
    return parts


def pixel_table(path: Path, source: str, about: Description) -> Table:
    """What a CSV file of pixels looks like.

    Raises:
        InputError: the column of the labels or the shape of the images cannot be told.
    """
    first, header, delimiter = _first_rows(path, source)
    label = _label_column(path, source, about)
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


def _label_column(path: Path, source: str, about: Description) -> int | None:
    """The column of the labels; None if there is none."""
    first, header, delimiter = _first_rows(path, source)
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
        return _named(header, about.label, LABELS, source, optional=True)
    if _is_square(columns):
        return None
    ends = [
        (line.split(delimiter, 1)[0], line.rsplit(delimiter, 1)[-1])
        for _, line in _lines(path, source)
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


def _named(
    header: list[str], name: str | int | None, usual: Sequence[str], source: str, *, optional: bool
) -> int | None:
    """The column with a name, or with a usual one."""
    if name is not None:
        if name in header:
            return header.index(str(name))
        if not optional:
            raise InputError(
                f"{source}: found no column {name!r}, which dataset.yaml names, only "
                f"{', '.join(header[:6])}"
            )
        return None
    lower = [column.lower() for column in header]
    known = [lower.index(one) for one in usual if one in lower]
    others = [number for number, column in enumerate(lower) if not PIXEL.fullmatch(column)]
    if known or not (others or optional):
        return known[0] if known else None
    return others[0] if len(others) == 1 and len(header) >= FEWEST else None


def _is_of_pixels(path: Path, source: str) -> bool:
    """Whether a table has a column for each pixel."""
    first, header, delimiter = _first_rows(path, source)
    if header is None:
        return len(first) >= FEWEST
    row = next(_lines(path, source, skip=True), (0, ""))[1].split(delimiter)
    numbers = sum(_is_number(value) for value in row)
    return len(first) >= FEWEST and numbers >= len(row) - 1


def _first_rows(path: Path, source: str) -> tuple[list[str], list[str] | None, str]:
    """The values of the first row, the same if it is a header, and the delimiter."""
    line = next(_lines(path, source), (0, ""))[1]
    if not line:
        raise InputError(f"{source}: is empty, expected a table")
    delimiter = max(DELIMITERS, key=line.count)
    first = [value.strip(' "') for value in line.split(delimiter)]
    numbers = [value for value in first if _is_number(value)]
    is_header = len(set(numbers)) == len(numbers) < len(first)  # pixels repeat, names do not
    if is_header and not next(_lines(path, source, skip=True), (0, ""))[1]:
        raise InputError(f"{source}: found a header alone, expected rows below it")
    return first, first if is_header else None, delimiter


def _is_number(value: str) -> bool:
    try:
        float(value.strip(' "'))
    except ValueError:
        return False
    return True


def _lines(path: Path, source: str, *, skip: bool = False) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, and their numbers from 1; without the first of them."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            full = ((number, line.rstrip("\n")) for number, line in enumerate(file, start=1))
            yield from islice(((number, line) for number, line in full if line), skip, None)
    except UnicodeDecodeError as error:
        raise _not_text(source, error) from error


def _not_text(source: str, error: UnicodeDecodeError) -> InputError:
    return InputError(f"{source}: is not text in UTF-8 ({error.reason}); convert it")


def _checked_label(label: str, where: str) -> str:
    if not label or label.lower() == "nan":
        raise InputError(f"{where}: found no label, expected one in each row")
    return label


def _listed(
    files: Files,
    table: Entry,
    split: SplitName,
    about: Description,
    pictures: dict[str, list[Entry]],
) -> list[Part]:
    """The parts of a table of paths and labels."""
    source = files.name(table)
    _first, has_header, delimiter = _first_rows(files.path(table), source)
    (_, header), *rows = _rows(files.path(table), source, delimiter)
    if not has_header or len(header) == 1:
        raise InputError(
            f"{source}: found no header, expected the names of columns, image and label"
        )
    image = _named(header, about.image, IMAGES, source, optional=False)
    label = _named(header, about.label, LABELS, source, optional=True)
    if label is None and len(header) == 2 and image is not None:  # noqa: PLR2004
        label = 1 - image
    if image is None:
        raise InputError(
            f"{source}: found the columns {', '.join(header[:6])}, expected one called image; name "
            f"it in dataset.yaml, such as image: {header[0]}"
        )
    if label is None:
        print(f"{source}: has no labels, so it is left out; make predict classifies it")
        return []
    entries: dict[SplitName, list[Entry]] = {}
    labels: dict[SplitName, list[str]] = {}
    column = header.index("split") if "split" in header else None
    for number, values in rows:
        where = f"{source}: line {number:,}"
        if len(values) != len(header):
            raise InputError(f"{where}: found {len(values)} values, expected {len(header)}")
        own = split if column is None else split_of(values[column]) or "all"
        entries.setdefault(own, []).append(_picture(values[image], pictures, where))
        labels.setdefault(own, []).append(_checked_label(values[label], where))
    named = {entry.path for some in entries.values() for entry in some}
    unnamed = {entry.path for some in pictures.values() for entry in some} - named
    if unnamed:
        print(f"{source}: does not name {len(unnamed):,} pictures, which are left out")
    return [
        Part(own, source, *encode_labels(labels[own]), _file_chunks(files, entries[own]))
        for own in entries
    ]


def _rows(path: Path, source: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The values in each row that is not empty, and the number of its last line, from 1."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            rows = ((reader.line_num, [value.strip() for value in row]) for row in reader if row)
            return list(rows)
        except UnicodeDecodeError as error:
            raise _not_text(source, error) from error
        except csv.Error as error:
            raise InputError(f"{source}: line {reader.line_num:,}: {error}") from error


def _file_chunks(files: Files, entries: Sequence[Entry]) -> Callable[[], Iterator[Chunk]]:
    def chunks() -> Iterator[Chunk]:
        for start in range(0, len(entries), CHUNK):
            yield FileChunk(files, tuple(entries[start : start + CHUNK]))

    return chunks


def _by_name(files: Files) -> dict[str, list[Entry]]:
    """The pictures by their path, their name, and their name without its suffix."""
    found: dict[str, list[Entry]] = {}
    for entry in files:
        if entry.kind == "folder":
            path = PurePosixPath(entry.path)
            for name in {entry.path, path.name, path.stem}:
                found.setdefault(name, []).append(entry)
    return found


def _picture(name: str, pictures: dict[str, list[Entry]], where: str) -> Entry:
    found = pictures.get(name.removeprefix("./"), [])
    if len(found) != 1:
        what = "no picture" if not found else f"{len(found)} pictures"
        raise InputError(f"{where}: found {what} called {name!r}, expected one")
    return found[0]

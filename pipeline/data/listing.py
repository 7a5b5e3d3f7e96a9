"""A CSV table that names pictures beside it: a path or a name, and a label in each row."""

import csv
from functools import partial
from pathlib import Path, PurePosixPath

from pipeline.data import csvfile
from pipeline.data.csvfile import LABELS
from pipeline.data.datasets import Description
from pipeline.data.files import Entry, Files
from pipeline.data.parts import Part, SplitName, encode_labels, file_chunks, split_of
from pipeline.errors import InputError, listed

IMAGES = ("image", "path", "file", "filename", "file_name", "filepath", "image_path", "id")


def read(
    files: Files,
    table: Entry,
    split: SplitName,
    about: Description,
    pictures: dict[str, list[Entry]],
) -> list[Part]:
    """The parts of a table of paths and labels.

    Args:
        files: of the dataset.
        table: the table among them.
        split: what the table is for, if it has no column `split`.
        about: the dataset.
        pictures: see `pictures_by_name`.

    Raises:
        InputError: a column or a label is missing, or a row names no picture.
    """
    source = files.name(table)
    _first, has_header, delimiter = csvfile.first_rows(files.path(table), source)
    (_, header), *rows = _rows(files.path(table), source, delimiter)
    if not has_header or len(header) == 1:
        raise InputError(
            f"{source}: found no header, expected the names of columns, image and label"
        )
    image, label = _columns(header, about, source)
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
        labels.setdefault(own, []).append(csvfile.checked_label(values[label], where))
    named = {entry.path for some in entries.values() for entry in some}
    unnamed = {entry.path for some in pictures.values() for entry in some} - named
    if unnamed:
        print(f"{source}: left out what it does not name: {listed(sorted(unnamed))}")
    return [
        Part(own, source, *encode_labels(labels[own]), partial(file_chunks, files, entries[own]))
        for own in entries
    ]


def _columns(header: list[str], about: Description, source: str) -> tuple[int, int | None]:
    """The column of the images, and that of the labels, None if there is none."""
    image = csvfile.named(header, about.image, IMAGES, source, optional=False)
    if image is None:
        raise InputError(
            f"{source}: found the columns {listed(header)}, expected one called image; name it in "
            f"dataset.yaml, such as image: {header[0]}"
        )
    label = csvfile.named(header, about.label, LABELS, source, optional=True)
    if label is None and len(header) == 2:  # noqa: PLR2004
        label = 1 - image
    return image, label


def _rows(path: Path, source: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The values in each row that is not empty, and the number of its last line, from 1."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            rows = ((reader.line_num, [value.strip() for value in row]) for row in reader if row)
            return list(rows)
        except UnicodeDecodeError as error:
            raise csvfile.not_text(source, error) from error
        except csv.Error as error:
            raise InputError(f"{source}: line {reader.line_num:,}: {error}") from error


def pictures_by_name(files: Files) -> dict[str, list[Entry]]:
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

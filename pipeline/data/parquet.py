"""Parquet as Hugging Face's datasets have it: a column of pictures, a column of labels.

pyarrow reads it, which `make extras` installs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.datasets import Description
from pipeline.data.files import Entry, Files
from pipeline.data.folder import Run
from pipeline.data.parts import BytesChunk, Part, SplitName, encode_labels, split_of
from pipeline.errors import InputError, IntegrityError
from pipeline.records import one_line

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

CHUNK = 128  # pictures
IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label", "class", "target")


def read(files: Files, _runs: list[Run], about: Description) -> list[Part]:
    """The parts of Parquet files, named train-00000-of-00001.parquet or the like.

    Raises:
        InputError: pyarrow is missing, or a column is.
        IntegrityError: a file is damaged.
    """
    entries: dict[SplitName, list[Entry]] = {}
    for entry in files:
        words = Path(entry.path).stem.replace("_", "-").split("-")
        split: SplitName = next((one for word in words if (one := split_of(word))), "all")
        entries.setdefault(split, []).append(entry)
    return [_part(files, split, which, about) for split, which in entries.items()]


def _part(files: Files, split: SplitName, entries: list[Entry], about: Description) -> Part:
    labels: list[Any] = []
    names: list[str] = []
    for entry in entries:
        more, names = _labels(files, entry, about)
        labels += more
    image = about.image

    def chunks() -> Iterator[BytesChunk]:
        for entry in entries:
            yield from _pictures(files, entry, image)

    source = files.name(entries[0])
    if names:
        return Part(split, source, np.array(labels, np.int32), tuple(names), chunks, in_order=True)
    return Part(split, source, *encode_labels(labels), chunks)


def _labels(files: Files, entry: Entry, about: Description) -> tuple[list[Any], list[str]]:
    """The label of each row, and the names of the classes if the file says them."""
    source = files.name(entry)
    file = _open(files, entry)
    wanted = about.label if isinstance(about.label, str) else None
    column = _column(file, wanted, LABELS, source)
    with _telling_damage(source):
        labels = file.read(columns=[column]).column(column).to_pylist()
    for row, label in enumerate(labels, start=1):
        if label is None or label == -1:
            raise InputError(f"{source}: row {row:,}: found no label, expected one in each row")
        if not isinstance(label, int | str):
            raise InputError(
                f"{source}: row {row:,}: found the label {shorten(str(label), 60)}, expected a "
                f"whole number or text"
            )
    names = [] if about.class_names else _class_names(file, column)
    if names and not all(isinstance(one, int) and 0 <= one < len(names) for one in labels):
        raise InputError(f"{source}: found a label that is none of its {len(names)} class names")
    return labels, names


def _pictures(files: Files, entry: Entry, wanted: str | None) -> Iterator[BytesChunk]:
    source, start = files.name(entry), 1
    file = _open(files, entry)
    column = _column(file, wanted, IMAGES, source)
    for rows in _batches(file, column, source):
        pictures: list[Any] = [row.get("bytes") if isinstance(row, dict) else row for row in rows]
        for number, picture in enumerate(pictures, start=start):
            if not isinstance(picture, bytes):
                raise InputError(
                    f"{source}: row {number:,}: found no bytes of a picture in the column "
                    f"{column}, expected them in the file itself, not a path alone"
                )
        yield BytesChunk(source, start, pictures)
        start += len(rows)


def _batches(file: "ParquetFile", column: str, source: str) -> Iterator[list[Any]]:
    """The values of a column, some rows at a time."""
    batches = file.iter_batches(CHUNK, columns=[column])
    while True:
        with _telling_damage(source):
            batch = next(batches, None)
            rows = None if batch is None else batch.column(0).to_pylist()
        if rows is None:
            return
        yield rows


def _open(files: Files, entry: Entry) -> "ParquetFile":
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"{files.name(entry)}: is Parquet, which pyarrow reads; install it: make extras"
        ) from error
    path = files.path(entry)
    with _telling_damage(files.name(entry)):
        return ParquetFile(path)


@contextmanager
def _telling_damage(source: str) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, ValueError) as error:
        raise IntegrityError(
            f"{source}: is no Parquet file, or a damaged one ({one_line(error)})"
        ) from error


def _column(file: "ParquetFile", wanted: str | None, usual: tuple[str, ...], source: str) -> str:
    columns = file.schema_arrow.names
    found = [name for name in ([wanted] if wanted else usual) if name in columns]
    if not found:
        raise InputError(
            f"{source}: found the columns {', '.join(columns)}, expected one called "
            f"{wanted or usual[0]}; name it in dataset.yaml, such as {usual[0]}: {columns[0]}"
        )
    return found[0]


def _class_names(file: "ParquetFile", column: str) -> list[str]:
    """What Hugging Face's metadata call the labels."""
    metadata = (file.schema_arrow.metadata or {}).get(b"huggingface", b"{}")
    try:
        return list(json.loads(metadata)["info"]["features"][column]["names"])
    except (ValueError, LookupError, TypeError):
        return []

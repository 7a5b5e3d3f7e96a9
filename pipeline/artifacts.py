"""Writers that leave a whole file or none, and the same bytes for the same content."""

import csv
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip member can carry


@contextmanager
def replacing(*paths: Path) -> Iterator[tuple[Path, ...]]:
    """Temporary siblings of `paths` to write to, which take their places if the block succeeds.

    Raises:
        OSError: the file system refused; all of `paths` are as they were.
    """
    temporary = tuple(_sibling(path, "tmp") for path in paths)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        for file in temporary:
            _sync(file)
        for file, path in zip(temporary, paths, strict=True):
            file.replace(path)
    finally:
        for file in temporary:
            file.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        _sync(folder)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Like `replacing`, for a folder with all that is in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, previous = _sibling(path, "tmp"), _sibling(path, "old")
    _restore(path, previous)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        _sync(temporary)
        if path.exists():
            path.rename(previous)
        temporary.rename(path)
    finally:
        _restore(path, previous)
        shutil.rmtree(temporary, ignore_errors=True)
    _sync(path.parent)


def _restore(path: Path, previous: Path) -> None:
    """Ends a replacement, also one that was killed: forward if `path` is there, else back."""
    if path.exists():
        shutil.rmtree(previous, ignore_errors=True)
    elif previous.exists():
        previous.rename(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all."""
    with replacing(path) as (temporary,):
        temporary.write_bytes(content)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` with sorted keys.

    Raises:
        ValueError: a number is NaN or infinite, which JSON has no word for.
    """
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode())


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a header and rows, separated by commas, a line feed after each."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def write_png(path: Path, figure: "Figure") -> None:
    """Draws `figure` without the version of the program that drew it."""
    content = BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    write_bytes(path, content.getvalue())


def write_keras(path: Path, model: "keras.Model") -> None:
    """Saves `model` without what differs at every save: times, and numbers counted per process.

    A `.keras` file is a zip with the date of the save in `metadata.json`, the time of day in each
    member, and in `config.json` ids of shared objects that go on counting through the process.
    """
    with replacing(path) as (temporary,):
        saved = temporary.with_suffix(".keras")
        try:
            model.save(saved)
            with zipfile.ZipFile(saved) as source:
                members = {name: source.read(name) for name in source.namelist()}
        finally:
            saved.unlink(missing_ok=True)
        metadata = json.loads(members["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
        members["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
        members["config.json"] = _renumber_shared_objects(members["config.json"])
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
            for name in sorted(members):
                target.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), members[name])


def _renumber_shared_objects(config: bytes) -> bytes:
    """Counts each distinct `shared_object_id` from 1, in the order of appearance."""
    numbers: dict[bytes, bytes] = {}

    def renumber(match: re.Match[bytes]) -> bytes:
        number = numbers.setdefault(match[2], b"%d" % (len(numbers) + 1))
        return match[1] + number

    return re.sub(rb'("shared_object_id": )(\d+)', renumber, config)


def _sibling(path: Path, kind: str) -> Path:
    """A hidden name beside `path`, so that a move is a rename; what a killed run left is reused."""
    return path.with_name(f".{path.name}.{kind}")


def _sync(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Encoders that give the same bytes for the same content, and writers that leave a whole file.

Encode first, then write: `write_files({path: json_bytes(metrics), other: png_bytes(figure)})`.
"""

import csv
import errno
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip member can carry


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """JSON with sorted keys.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot express.
    """
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return f"{text}\n".encode()


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A header and rows, comma-separated, each ended by a line feed."""
    content = BytesIO()
    text = TextIOWrapper(content, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    text.flush()
    return content.getvalue()


def png_bytes(figure: "Figure") -> bytes:
    """A picture of `figure`, without the version of the program that drew it."""
    content = BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def keras_bytes(model: "keras.Model", about: Mapping[str, Any]) -> bytes:
    """A `.keras` file of `model`, without what differs at every save.

    A `.keras` file is a zip with the date of the save in `metadata.json`, the time of day in each
    member, and ids of shared objects in `config.json` that count on through the process.

    Args:
        model: what to save.
        about: JSON values to add to `metadata.json`, which Keras leaves alone.
    """
    with TemporaryDirectory() as folder:
        saved = Path(folder, "model.keras")
        model.save(saved)
        with zipfile.ZipFile(saved) as source:
            members = {name: source.read(name) for name in source.namelist()}
    metadata = json.loads(members["metadata.json"]) | {"date_saved": "1980-01-01@00:00:00"}
    members["metadata.json"] = json.dumps({**metadata, **about}, sort_keys=True).encode()
    members["config.json"] = _renumber_shared_objects(members["config.json"])
    content = BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as target:
        for name in sorted(members):
            target.writestr(zipfile.ZipInfo(name, ZIP_EPOCH), members[name])
    return content.getvalue()


def _renumber_shared_objects(config: bytes) -> bytes:
    """Counts each distinct `shared_object_id` from 1, in order of appearance."""
    numbers: dict[bytes, bytes] = {}

    def renumber(match: re.Match[bytes]) -> bytes:
        number = numbers.setdefault(match[2], b"%d" % (len(numbers) + 1))
        return match[1] + number

    return re.sub(rb'("shared_object_id": )(\d+)', renumber, config)


def write_files(files: Mapping[Path, bytes]) -> None:
    """Writes every file, or leaves all of them as they were.

    A file appears under its name once its bytes are on the disk. If one cannot take its place,
    those that already have are put back.

    Raises:
        OSError: the file system refused.
    """
    staged = {path: _sibling(path, "tmp") for path in files}
    previous = {path: _sibling(path, "old") for path in files}
    try:
        for path, temporary in staged.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            remove(temporary)
            temporary.write_bytes(files[path])
            _sync(temporary)
        replaced = []
        try:
            for path, temporary in staged.items():
                _keep(path, previous[path])
                temporary.replace(path)
                replaced.append(path)
        except BaseException:
            for path in replaced:
                _put_back(path, previous[path])
            raise
    finally:
        for leftover in (*staged.values(), *previous.values()):
            remove(leftover)
    for folder in {path.parent for path in files}:
        _sync(folder)


def write_output(path: Path, content: bytes) -> None:
    """Writes a file that the user named. A link, a pipe or a device is written through.

    Raises:
        OSError: the file system refused.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
    else:
        write_files({path: content})


def _keep(path: Path, previous: Path) -> None:
    """Gives the file at `path`, if there is one, the second name `previous`."""
    remove(previous)
    if path.is_file():
        link_or_copy(path, previous)


def link_or_copy(source: Path, target: Path) -> None:
    """Gives the file `source` a second name, or copies it where that is impossible."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target, follow_symlinks=False)


def _put_back(path: Path, previous: Path) -> None:
    if previous.exists():
        previous.replace(path)
    else:
        path.unlink()


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A temporary folder to fill, which takes the place of `path` if the block succeeds.

    Raises:
        OSError: the file system refused; `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    finish_replacing(path)
    temporary = _sibling(path, "tmp")
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            _sync(file)
        _sync(temporary)
        if os.path.lexists(path):
            path.rename(_sibling(path, "old"))
        temporary.rename(path)
    finally:
        finish_replacing(path)
    _sync(path.parent)


def finish_replacing(path: Path) -> None:
    """Completes an interrupted replacement of a folder: forward if `path` exists, else back."""
    previous = _sibling(path, "old")
    if os.path.lexists(path):
        remove(previous)
    elif os.path.lexists(previous):
        previous.rename(path)
    remove(_sibling(path, "tmp"))


def remove(path: Path) -> None:
    """Removes whatever is at `path`: a file, a link, a folder or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def _sibling(path: Path, kind: str) -> Path:
    """A hidden name beside `path`, so that moving there is a rename."""
    return path.with_name(f".{path.name}.{kind}")


def _sync(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # not every file system can
            raise
    finally:
        os.close(descriptor)

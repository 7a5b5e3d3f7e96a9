"""The files of a dataset: which there are, and whether they are still what they were.

Data of one's own stay where they are: the stage `download` writes a manifest, a table with the
path, the size and the SHA-256 of every file, and `preprocess` reads nothing else. Files that were
downloaded or unpacked are in data/raw itself.
"""

import csv
import errno
import hashlib
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from pipeline.errors import InputError, IntegrityError, listed
from pipeline.program import printable
from pipeline.records import one_line

MANIFEST = "manifest.csv"
CHUNK = 1 << 20  # bytes
HEADER = ("path", "size", "sha256")
PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
KINDS = {
    **dict.fromkeys(PICTURES, "folder"),
    ".csv": "csv",
    ".npz": "npz",
    ".parquet": "parquet",
    ".zip": "archive",
    ".tar": "archive",
    ".tgz": "archive",
}
PATTERNS = (
    (re.compile(r"\.tar\.\w+$"), "archive"),
    (re.compile(r"(idx\d.*|ubyte|\.idx)(\.gz)?$"), "idx"),
    (re.compile(r"(data|test)_batch.*\.bin$"), "cifar"),
)
ABOUT = {"CITATION", "LICENSE", "README", "Thumbs", "dataset", "desktop"}  # no data, but expected
NO_DATA = {"__MACOSX"}  # folders that programs leave
GONE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
CHANGED = " since the stage download listed it; run dvc repro when nothing writes there any more"
DAMAGE = (  # what decoders raise for bytes that make no sense
    EOFError,
    IndexError,
    RuntimeError,  # encrypted, or compressed in a way that Python does not know
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class Entry(NamedTuple):
    """A file of a dataset."""

    path: str  # below the dataset's folder, with slashes
    size: int | None = None  # bytes; None where DVC has verified it
    sha256: str | None = None

    @property
    def kind(self) -> str | None:
        """The kind of its content by its name, a key of `pipeline.data.sources.READERS`."""
        return kind_of(self.path)


@dataclass(frozen=True)
class Files:
    """The files of a dataset, in the order of their paths."""

    root: Path  # the folder that the paths start from
    manifest: Path | None = None  # None: whatever is in `root`
    kinds: tuple[str, ...] = ()  # those that count; empty for all

    def __iter__(self) -> Iterator[Entry]:
        if self.kinds:
            yield from (entry for entry in self._all() if entry.kind in self.kinds)
        else:
            yield from self._all()

    def _all(self) -> Iterator[Entry]:
        if self.manifest is None:
            yield from map(Entry, walk(self.root))
            return
        try:
            yield from _listed(self.manifest)
        except (OSError, ValueError, csv.Error) as error:
            raise InputError(f"{self.manifest}: cannot be read; run dvc repro") from error

    def name(self, entry: Entry) -> str:
        """The path of a file, for messages."""
        return printable(str(self.root / entry.path))

    def read(self, entry: Entry) -> bytes:
        """The content of a file.

        Raises:
            IntegrityError: it is not what the manifest says.
        """
        try:
            with open(f"{self.root}/{entry.path}", "rb", buffering=0) as file:  # noqa: PTH123
                content = file.read()
        except GONE as error:
            raise IntegrityError(f"{self.name(entry)}: has gone{CHANGED}") from error
        if entry.sha256 and hashlib.sha256(content).hexdigest() != entry.sha256:
            raise IntegrityError(f"{self.name(entry)}: has changed{CHANGED}")
        return content

    def path(self, entry: Entry) -> Path:
        """The path of a file, which is what the manifest says.

        Raises:
            IntegrityError: it is not.
        """
        path = self.root / entry.path
        if entry.sha256 and not (path.is_file() and _sha256(path) == entry.sha256):
            raise IntegrityError(f"{self.name(entry)}: has changed{CHANGED}")
        return path

    def check(self) -> None:
        """Checks that the files which `path` gave out are still what the manifest says.

        Raises:
            IntegrityError: one has changed while it was read.
        """
        for entry in self:
            if entry.kind != "folder":  # `read` takes a picture as a whole
                self.path(entry)


def _listed(manifest: Path) -> Iterator[Entry]:
    with manifest.open(encoding="utf-8", newline="") as table:
        rows = csv.reader(table)
        if tuple(next(rows, ())) != HEADER:
            raise ValueError(HEADER)
        for path, size, sha256 in rows:
            yield Entry(path, int(size), sha256)


@contextmanager
def telling_damage(what: str) -> Iterator[None]:
    """For a block that reads a compressed file or an archive.

    Args:
        what: what to say if it is damaged, the file first.

    Raises:
        IntegrityError: it is.
    """
    try:
        yield
    except DAMAGE as error:
        raise IntegrityError(f"{what} ({one_line(error)})") from error
    except OSError as error:  # the disk's have other numbers
        if error.errno not in (None, errno.EINVAL):
            raise
        raise IntegrityError(f"{what} ({one_line(error)})") from error


def files_of(location: Path, raw: Path) -> Files:
    """The files of a dataset at `location`, as the stage download left them in `raw`."""
    if not raw.is_dir() or not any(raw.iterdir()):
        raise InputError(f"{raw}: found no file; run dvc repro")
    manifest = raw / MANIFEST
    if not manifest.is_file():
        return Files(raw)
    return Files(location if location.is_dir() else location.parent, manifest)


def kind_of(path: str) -> str | None:
    """What a file contains by its name; None if it is no data."""
    name = path[path.rfind("/") + 1 :].lower()
    kind = KINDS.get(name[name.rfind(".") :])  # pathlib would take ten times as long
    if kind:
        return kind
    return next((kind for pattern, kind in PATTERNS if pattern.search(name)), None)


def walk(location: Path, others: Counter[str] | None = None) -> Iterator[str]:
    """The data files below a folder in the order of their paths, or the only file.

    Hidden files, dataset.yaml and files of other kinds are left out.

    Args:
        location: the folder or the file.
        others: counts the files of other kinds by their suffix.

    Raises:
        InputError: a folder holds no data, or something there cannot be used.
    """
    if location.is_file():
        yield location.name
        return
    others = Counter() if others is None else others
    if not (yield from _walk(str(location), "", others)):
        raise InputError(f"{location}: found no data, expected pictures, a table or an archive")


def _walk(folder: str, prefix: str, others: Counter[str]) -> Generator[str, None, int]:
    """As `walk`; returns how many files there are."""
    count = 0
    with os.scandir(folder) as entries:
        found = sorted(
            (one.name, one.is_dir(follow_symlinks=False), _is_file(one)) for one in entries
        )
    for name, is_folder, is_file in found:
        if name.startswith(".") or name in NO_DATA:
            continue
        path = f"{folder}/{name}"
        if is_folder:
            _check_name(path)
            inside: Counter[str] = Counter()
            below = yield from _walk(path, f"{prefix}{name}/", inside)
            others += inside
            if not below:
                raise InputError(
                    f"{printable(path)}: found a folder without a file that can be read"
                    f"{_of_kinds(inside)}; convert its files, or remove it"
                )
            count += below
        elif not is_file:
            _refuse(Path(path))
        elif kind_of(name):
            _check_name(path)
            yield f"{prefix}{name}"
            count += 1
        elif name.rpartition(".")[0] not in ABOUT:
            others[Path(name).suffix or name] += 1
    return count


def _of_kinds(others: Counter[str]) -> str:
    """What there is instead, as an addition to a message."""
    return (
        f" ({listed(f'{count:,} {suffix}' for suffix, count in others.items())})" if others else ""
    )


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file or a link to one; links that go round in a circle are none."""
    return entry.is_file(follow_symlinks=False) or os.path.isfile(entry.path)  # noqa: PTH113


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode(errors="backslashreplace")
        raise InputError(
            f"{shown}: found a name that is not UTF-8, expected one that is; rename it"
        ) from error


def _refuse(path: Path) -> NoReturn:
    """Says what is wrong with something that is neither a file nor a folder."""
    name = printable(str(path))
    if path.is_dir():
        raise InputError(f"{name}: is a link to a folder, expected files; copy the folder itself")
    if path.is_symlink():
        raise InputError(f"{name}: is a link that leads nowhere; remove it or restore its file")
    raise InputError(f"{name}: is neither a file nor a folder; remove it")


def list_files(
    location: Path, manifest: Path, progress: Callable[[], object]
) -> tuple[int, int, str]:
    """Writes the manifest of a folder or a file.

    Args:
        location: of the dataset.
        manifest: the file to write.
        progress: is called after each file.

    Returns:
        How many files there are, their bytes, and the SHA-256 of the manifest.

    Raises:
        InputError: there are no data, or something cannot be used.
        IntegrityError: a file has gone meanwhile.
    """
    root = location if location.is_dir() else location.parent
    count = total = 0
    others: Counter[str] = Counter()
    with manifest.open("w", encoding="utf-8", newline="") as table:
        # Text is quoted, for a name may have a carriage return.
        writer = csv.writer(table, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(HEADER)
        try:
            for path in walk(location, others):
                size, digest = _size_and_sha256(f"{root}/{path}")
                writer.writerow((path, size, digest))
                count, total = count + 1, total + size
                progress()
        except GONE as error:
            raise IntegrityError(
                f"{printable(str(error.filename))}: has gone while the files were listed; run dvc "
                f"repro when nothing writes there any more"
            ) from error
    if others:
        print(f"{location}: files of other formats are left out{_of_kinds(others)}")
    return count, total, _sha256(manifest)


def _size_and_sha256(path: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123, pathlib takes longer
        while content := file.read(CHUNK):
            digest.update(content)
            size += len(content)
    return size, digest.hexdigest()


def _sha256(path: Path) -> str:
    return _size_and_sha256(str(path))[1]

"""Zip and tar archives, unpacked safely."""

import fnmatch
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from pipeline.artifacts import remove
from pipeline.data.files import MANIFEST, Files, kind_of, telling_damage
from pipeline.errors import InputError
from pipeline.program import printable

CHUNK = 1 << 20  # bytes


def unpack_all(folder: Path, members: str) -> None:
    """Replaces every archive in `folder` by its members.

    Raises:
        InputError: a member would lie outside of `folder`, or none matches the pattern `members`.
        IntegrityError: an archive is damaged.
    """
    for archive in sorted(folder.iterdir()):
        if kind_of(archive.name) == "archive":
            _unpack(archive, folder, members)
            remove(archive)


def unpack_listed(files: Files, folder: Path, members: str) -> None:
    """Replaces the manifest in `folder` by the members of the archives that it lists, if any.

    Raises:
        InputError: there are other data beside them; or as `unpack_all`.
        IntegrityError: an archive is damaged.
    """
    kinds = {entry.kind for entry in files}
    if "archive" not in kinds:
        return
    if kinds != {"archive"}:
        raise InputError(
            f"{files.root}: found an archive and other data, expected either; unpack the archive "
            f"or remove it"
        )
    paths = [files.path(entry) for entry in files]
    remove(folder / MANIFEST)
    for path in paths:
        _unpack(path, folder, members)


def _unpack(archive: Path, folder: Path, pattern: str) -> None:
    unpack = _unpack_zip if zipfile.is_zipfile(archive) else _unpack_tar
    with telling_damage(f"{archive}: is a damaged or encrypted archive"):
        count = unpack(archive, folder, pattern)
    if not count:
        raise InputError(f"{archive}: found no file that matches {pattern!r}, expected some")
    if (folder / MANIFEST).exists():
        raise InputError(
            f"{archive}: holds a {MANIFEST}, which means a list here; unpack it yourself"
        )


def _unpack_zip(archive: Path, folder: Path, pattern: str) -> int:
    with zipfile.ZipFile(archive) as opened:
        names = fnmatch.filter(opened.namelist(), pattern)
        for name in names:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise InputError(
                    f"{archive}: the member {printable(name)!r} would lie outside of the folder; "
                    f"unpack it yourself"
                )
        opened.extractall(folder, names)  # noqa: S202, checked above
    return len(names)


def _unpack_tar(archive: Path, folder: Path, pattern: str) -> int:
    with tarfile.open(archive) as opened:
        chosen = [one for one in opened.getmembers() if fnmatch.fnmatch(one.name, pattern)]
        _check_end(opened)
        try:
            opened.extractall(folder, chosen, filter="data")
        except tarfile.FilterError as error:
            raise InputError(f"{archive}: {error}; unpack it yourself") from error
    return len(chosen)


def _check_end(opened: tarfile.TarFile) -> None:
    """Checks that zeros follow the last member, and the checksum of a compressed archive.

    tarfile takes a damaged header for the end.
    """
    stream = opened.fileobj
    assert stream  # noqa: S101, for the types
    stream.seek(opened.offset)
    content = stream.read(tarfile.BLOCKSIZE)
    while content:
        if content.strip(b"\0"):
            raise tarfile.ReadError("a header is damaged")
        content = stream.read(CHUNK)

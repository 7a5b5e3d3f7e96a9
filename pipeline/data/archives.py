"""Zip and tar archives, unpacked safely."""

import fnmatch
import tarfile
import zipfile
from pathlib import Path

from pipeline.artifacts import remove
from pipeline.data.files import Files, kind_of
from pipeline.errors import InputError, IntegrityError


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


def unpack_listed(files: Files, folder: Path, members: str) -> bool:
    """Unpacks the archives among `files` into `folder`.

    Returns:
        Whether there are any.

    Raises:
        InputError: there are other data beside them; or as `unpack_all`.
        IntegrityError: an archive is damaged.
    """
    kinds = {entry.kind for entry in files}
    if "archive" not in kinds:
        return False
    if kinds != {"archive"}:
        raise InputError(
            f"{files.root}: found an archive and other data, expected either; unpack the archive "
            f"or remove it"
        )
    for entry in files:
        _unpack(files.path(entry), folder, members)
    return True


def _unpack(archive: Path, folder: Path, pattern: str) -> None:
    try:
        if zipfile.is_zipfile(archive):
            count = _unpack_zip(archive, folder, pattern)
        else:
            count = _unpack_tar(archive, folder, pattern)
    except tarfile.FilterError as error:
        raise InputError(f"{archive}: {error}; unpack it yourself") from error
    except (EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile, RuntimeError) as error:
        raise IntegrityError(f"{archive}: is a damaged or encrypted archive ({error})") from error
    if not count:
        raise InputError(f"{archive}: found no file that matches {pattern!r}, expected some")


def _unpack_zip(archive: Path, folder: Path, pattern: str) -> int:
    with zipfile.ZipFile(archive) as opened:
        names = fnmatch.filter((one.filename for one in opened.infolist()), pattern)
        opened.extractall(folder, names)  # noqa: S202, it leaves out drives and ..
    return len(names)


def _unpack_tar(archive: Path, folder: Path, pattern: str) -> int:
    with tarfile.open(archive) as opened:
        chosen = [one for one in opened.getmembers() if fnmatch.fnmatch(one.name, pattern)]
        opened.extractall(folder, chosen, filter="data")
    return len(chosen)

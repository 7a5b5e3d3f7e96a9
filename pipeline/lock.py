"""dvc.lock: what the last run recorded, and whether the files are still those that it wrote."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import paths
from pipeline.errors import InputError, IntegrityError
from pipeline.records import one_line, read_file, read_yaml


@dataclass(frozen=True)
class Lock:
    """What dvc.lock recorded of the last run."""

    stages: dict[str, dict[str, Any]]  # by name; each has cmd, deps and outs, and maybe params

    @property
    def outputs(self) -> dict[str, str]:
        """The MD5 of every output by its path; that of a folder ends in `.dir`."""
        return {out["path"]: out["md5"] for stage in self.stages.values() for out in stage["outs"]}


def read_lock(read: Callable[[Path], bytes]) -> Lock:
    """The dvc.lock that `read` finds.

    Raises:
        InputError: it is missing or damaged.
    """
    content = read_yaml(read(paths.LOCK), str(paths.LOCK))
    try:
        lock = Lock(dict(content["stages"]))  # type: ignore[index]
        for stage in lock.stages.values():
            for entry in (*stage["deps"], *stage["outs"]):
                entry["path"], entry["md5"]
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(f"{paths.LOCK}: is damaged, near {one_line(error)}") from error
    return lock


def check_recorded(inputs: Iterable[Path]) -> None:
    """Checks that the `inputs` of a stage are what dvc.lock says the stages before it wrote.

    DVC trusts a damaged file in its cache as long as it is read-only, and brings it back as it is.

    Raises:
        IntegrityError: one is not.
    """
    outputs = read_lock(read_file).outputs if paths.LOCK.exists() else {}
    for path in inputs:
        expected = outputs.get(str(path))
        if expected and path.exists() and digest(path) != expected:
            raise IntegrityError(
                f"{path}: is damaged, its MD5 is not the one in {paths.LOCK}; dvc repro --force "
                f"makes it again, make verify finds the damaged file in DVC's cache"
            )


def digest(path: Path) -> str:
    """The MD5 that dvc.lock would hold of a file or a folder."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        return folder_md5({file.relative_to(path).as_posix(): digest(file) for file in files})
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def folder_md5(files: Mapping[str, str]) -> str:
    """The MD5 that dvc.lock would hold of a folder: that of a list of its files.

    Args:
        files: their MD5 by their paths in the folder.
    """
    listing = [
        {"md5": files[path], "relpath": path}
        for path in sorted(files, key=lambda path: tuple(path.split("/")))
    ]
    return md5(json.dumps(listing, sort_keys=True).encode()) + ".dir"


def md5(content: bytes) -> str:
    """The MD5 that dvc.lock would hold of a file with this content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()

"""The working tree: its files, and whether its results are those of its code and parameters."""

import json
import subprocess
import sys
from pathlib import Path

from pipeline import paths
from pipeline.errors import InputError
from pipeline.params import parse
from pipeline.results import digest, stages
from pipeline.revision import tracked, uncommitted

REMEDY = "run dvc repro, then commit dvc.lock and metrics"
ABSENT = {"deleted", "not in cache"}  # what dvc status says of data that this clone has not got


def read(path: Path) -> bytes:
    """The content of `path`.

    Raises:
        InputError: it is not there, or no file.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def check_lock() -> None:
    """Checks that the code and the parameters in dvc.lock are those that are here.

    `dvc status` does, too, but not where dvc.yaml freezes a stage or leaves it out.

    Raises:
        InputError: one has changed.
    """
    in_git = tracked()
    params = parse(read(paths.PARAMS), str(paths.PARAMS))
    for stage in stages(read):
        for dependency in stage["deps"]:
            path = dependency["path"]
            if path in in_git and digest(read(Path(path))) != dependency["md5"]:
                raise InputError(f"stale: {path} has changed since the last run; {REMEDY}")
        for key, value in stage.get("params", {}).get(str(paths.PARAMS), {}).items():
            if _value(params, key) != value:
                raise InputError(
                    f"stale: {key} in {paths.PARAMS} has changed since the last run; {REMEDY}"
                )


def check_committed() -> None:
    """Checks that the files that git knows are as in the last commit.

    Raises:
        InputError: one has changed.
    """
    if changed := uncommitted():
        raise InputError(f"{changed[0]} is not as in the last commit; git commit it, or restore it")


def check_status() -> None:
    """Checks that `dvc status` finds nothing changed.

    Data and models may be absent, as in a plain clone: dvc.lock says what they were.

    Raises:
        InputError: something has changed, with what, or DVC cannot tell.
    """
    in_git = tracked()
    for stage, reports in _dvc_status().items():
        for report in reports:
            if not isinstance(report, dict):  # such as "changed command"
                raise InputError(f"stale: stage {stage}: {report}; {REMEDY}")
            for kind, changes in report.items():
                for path, change in changes.items():
                    if change not in ABSENT or path in in_git:
                        raise InputError(f"stale: stage {stage}: {kind}: {path} {change}; {REMEDY}")


def _dvc_status() -> dict[str, list[object]]:
    """For each stage that is not up to date, what has changed."""
    command = (sys.executable, "-m", "dvc", "status", "--json")
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        status: dict[str, list[object]] = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise InputError(f"dvc status: {said[0]}") from None
    return status


def _value(content: object, key: str) -> object:
    """What `content` holds at `key`, written as section.name, or None."""
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content

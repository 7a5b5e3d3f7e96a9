"""Whether the results in the working tree come from the code and parameters that are there."""

import json
from pathlib import Path

from pipeline import paths
from pipeline.errors import InputError
from pipeline.lock import folder_md5, md5, read_lock
from pipeline.records import read_yaml
from pipeline.repository import Source, dvc, tracked_files

REMEDY = "run dvc repro, then commit dvc.lock and metrics"
ABSENT = {"deleted", "not in cache"}  # how dvc status reports data that this clone does not have


def check_lock(source: Source, tracked: set[str]) -> None:
    """Checks that the code and the parameters in `source` are those that its dvc.lock recorded.

    `dvc status` does so, too, but only for the dependencies that dvc.yaml names.

    Args:
        source: the project.
        tracked: its files in git. Others, such as data, are not looked at.

    Raises:
        InputError: one has changed.
    """
    params = read_yaml(source.read(paths.PARAMS), str(paths.PARAMS))
    for stage in read_lock(source.read).stages.values():
        for dependency in stage["deps"]:
            path = dependency["path"]
            if _tracked_md5(source, tracked, path) not in (None, dependency["md5"]):
                raise InputError(f"stale: {path} has changed since the last run; {REMEDY}")
        for key, value in stage.get("params", {}).get(str(paths.PARAMS), {}).items():
            if _value(params, key) != value:
                raise InputError(
                    f"stale: {key} in {paths.PARAMS} has changed since the last run; {REMEDY}"
                )


def _tracked_md5(source: Source, tracked: set[str], path: str) -> str | None:
    """The MD5 of a file or folder that git tracks, itself or by its .dvc file; None if neither."""
    if path in tracked:
        return md5(source.read(Path(path)))
    below = [name for name in tracked if name.startswith(f"{path}/")]
    if below:
        return folder_md5(
            {name.removeprefix(f"{path}/"): md5(source.read(Path(name))) for name in below}
        )
    description = f"{path}.dvc"
    if description in tracked:
        content = read_yaml(source.read(Path(description)), description)
        try:
            return str(content["outs"][0]["md5"])  # type: ignore[index]
        except (LookupError, TypeError) as error:
            raise InputError(f"{description}: is damaged; {REMEDY}") from error
    return None


def check_status() -> None:
    """Checks that `dvc status` finds nothing changed.

    Data and models may be absent, as in a plain clone; dvc.lock says what they were.

    Raises:
        InputError: something has changed, or DVC cannot tell.
    """
    tracked = tracked_files()
    for stage, reports in _status().items():
        for report in reports:
            if not isinstance(report, dict):  # such as "changed command"
                raise InputError(f"stale: stage {stage}: {report}; {REMEDY}")
            for kind, changes in report.items():
                for path, change in changes.items():
                    if path in tracked or change not in ABSENT:
                        raise InputError(f"stale: stage {stage}: {kind}: {path} {change}; {REMEDY}")


def _status() -> dict[str, list[object]]:
    """What has changed in each stage that is not up to date."""
    status: dict[str, list[object]] = json.loads(dvc("status", "--json"))
    return status


def _value(content: object, key: str) -> object:
    """What `content` holds at `key`, written as section.name, or None."""
    for name in key.split("."):
        content = content.get(name) if isinstance(content, dict) else None
    return content

"""Results that are not those of the code and the parameters beside them."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.errors import InputError
from pipeline.gate import freshness
from pipeline.lock import md5
from pipeline.repository import WORKING_TREE, Source, tracked_files
from tests.gate.repository import CODE, Repository


def unnamed_code(repository: Repository) -> None:
    repository.edit(paths.PIPELINE, "  - code.py\n", "")
    repository.edit(CODE, "print()", "print(1)")


STALE: dict[str, tuple[Callable[[Repository], None], str]] = {
    "a parameter": (
        lambda repository: repository.edit(paths.PARAMS, "epochs: 10", "epochs: 11"),
        "stale: train in params.yaml has changed since the last run; run dvc repro, then commit",
    ),
    "code": (
        lambda repository: repository.edit(CODE, "print()", "print(1)"),
        "stale: code.py has changed since the last run; run dvc repro, then commit dvc.lock",
    ),
    "a command": (
        lambda repository: repository.edit(paths.PIPELINE, "code.py evaluate", "code.py -k"),
        "stale: stage evaluate: changed command; run dvc repro",
    ),
    "an output": (
        lambda repository: repository.edit(paths.PREDICTIONS, "0.94", "0.95"),
        "stale: stage evaluate: changed outs: metrics/predictions.csv modified; run dvc repro",
    ),
    "an output deleted": (
        lambda repository: (repository.root / paths.PREDICTIONS).unlink(),
        "stale: stage evaluate: changed outs: metrics/predictions.csv deleted; run dvc repro",
    ),
    "code that dvc.yaml no longer names": (unnamed_code, "stale: code.py has changed"),
    "dvc.yaml damaged": (
        lambda repository: (repository.root / paths.PIPELINE).write_text("stages: ["),  # type: ignore[dict-item]
        "dvc status --json: ",
    ),
}


def test_fresh(repository: Repository) -> None:
    assert Path.cwd() == repository.root
    freshness.check_lock(WORKING_TREE, tracked_files())
    freshness.check_status()


@pytest.mark.parametrize("case", STALE)
def test_stale(case: str, repository: Repository) -> None:
    change, message = STALE[case]
    change(repository)
    with pytest.raises(InputError) as error:
        freshness.check_lock(WORKING_TREE, tracked_files())
        freshness.check_status()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


FOLDER = {"data/sources/own/a": b"1", "data/sources/own/b/c": b"2"}
LISTING = (
    '[{"md5": "c4ca4238a0b923820dcc509a6f75849b", "relpath": "a"}, '
    '{"md5": "c81e728d9d4c2f636f067f89cc14862c", "relpath": "b/c"}]'
)


@pytest.mark.parametrize(
    ("files", "recorded", "fresh"),
    [
        (FOLDER, f"{md5(LISTING.encode())}.dir", True),
        (FOLDER | {"data/sources/own/d": b"3"}, f"{md5(LISTING.encode())}.dir", False),
        ({"data/sources/own.dvc": b"outs:\n- md5: 1a.dir\n"}, "1a.dir", True),
        ({"data/sources/own.dvc": b"outs:\n- md5: 2b.dir\n"}, "1a.dir", False),
        ({"data/sources/own.dvc": b"outs: 1\n"}, "1a.dir", False),
        ({}, "1a.dir", True),  # git does not know what it is
    ],
)
def test_data_that_git_tracks(files: dict[str, bytes], recorded: str, fresh: bool) -> None:
    stage = {"deps": [{"path": "data/sources/own", "md5": recorded}], "outs": []}
    lock = json.dumps({"stages": {"download": stage}}).encode()
    content = {"params.yaml": b"a: 1\n", "dvc.lock": lock, **files}
    source = Source("here", "", lambda path: content[str(path)])
    with nullcontext() if fresh else pytest.raises(InputError, match=r"data/sources/own"):
        freshness.check_lock(source, set(files))

"""Results that are not those of the code and the parameters beside them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.errors import InputError
from pipeline.gate import freshness
from pipeline.repository import WORKING_TREE, tracked_files
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

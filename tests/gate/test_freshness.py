"""Results that are not those of the code and the parameters beside them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.errors import InputError
from pipeline.gate import freshness
from tests.gate.repository import CODE, DVC_YAML, Repository


def freeze(repository: Repository) -> None:
    # `dvc status` does not look at what a frozen stage reads.
    for name in ("download", "preprocess", "train", "evaluate"):
        repository.edit(DVC_YAML, f"code.py {name}\n", f"code.py {name}\n    frozen: true\n")


def frozen_parameter(repository: Repository) -> None:
    freeze(repository)
    repository.edit(paths.PARAMS, "epochs: 10", "epochs: 11")


def frozen_code(repository: Repository) -> None:
    freeze(repository)
    repository.edit(CODE, "print()", "print(1)")


def without_stages(repository: Repository) -> None:
    (repository.root / DVC_YAML).write_text("stages: {}\n")
    repository.edit(paths.PARAMS, "epochs: 10", "epochs: 11")


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
        lambda repository: repository.edit(DVC_YAML, "code.py evaluate", "code.py evaluate -k"),
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
    "a parameter of a frozen stage": (frozen_parameter, "stale: train in params.yaml has changed"),
    "code of a frozen stage": (frozen_code, "stale: code.py has changed"),
    "a parameter, and no stages": (without_stages, "stale: train in params.yaml has changed"),
    "dvc.yaml damaged": (
        lambda repository: (repository.root / DVC_YAML).write_text("stages: ["),  # type: ignore[dict-item]
        "dvc status --json: ",
    ),
}


def test_fresh(repository: Repository) -> None:
    assert Path.cwd() == repository.root
    freshness.check_lock()
    freshness.check_status()


@pytest.mark.parametrize("case", STALE)
def test_stale(case: str, repository: Repository) -> None:
    change, message = STALE[case]
    change(repository)
    with pytest.raises(InputError) as error:
        freshness.check_lock()
        freshness.check_status()
    assert message in str(error.value)
    assert "\n" not in str(error.value)

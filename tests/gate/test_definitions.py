"""Stages that `dvc repro` would not run, and stages that a change defines otherwise."""

from typing import Any

import pytest
import yaml

from pipeline import paths
from pipeline.errors import InputError
from pipeline.gate.definitions import changes, check_all_run
from pipeline.gate.judge import judge
from pipeline.repository import Source
from tests.gate.repository import Repository
from tests.gate.support import BETTER, STAGES, run, source


def defining(stages: object) -> Source:
    """A run whose dvc.lock has the four stages, and whose dvc.yaml has these."""
    return source(run(BETTER) | {paths.PIPELINE: yaml.safe_dump({"stages": stages}).encode()})


def with_evaluate(**keys: object) -> dict[str, Any]:
    return STAGES | {"evaluate": STAGES["evaluate"] | keys}


@pytest.mark.parametrize(
    "stages",
    [
        STAGES,
        STAGES | {"new": {"cmd": "x"}},  # `dvc status` says that it has not run
        with_evaluate(frozen=False),
        with_evaluate(do={"cmd": "x"}),
    ],
)
def test_all_would_run(stages: object) -> None:
    check_all_run(defining(stages))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (with_evaluate(frozen=True), "dvc.yaml: stage evaluate is frozen, so dvc repro does not"),
        (with_evaluate(frozen="${frozen}"), "stage evaluate is frozen"),
        (with_evaluate(foreach=[1], do={"cmd": "x", "frozen": True}), "stage evaluate is frozen"),
        ({}, "dvc.yaml: has no stage download, but dvc.lock has its results"),
        (STAGES | {"evaluate": None}, "here: dvc.yaml: expected a section stages, with a section"),
        (None, "here: dvc.yaml: expected a section stages"),
        ([], "here: dvc.yaml: expected a section stages"),
    ],
)
def test_one_would_not_run(stages: object, message: str) -> None:
    with pytest.raises(InputError) as error:
        check_all_run(defining(stages))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_items_of_a_stage_with_foreach() -> None:
    stages = {name: {"foreach": ["a"], "do": stage} for name, stage in STAGES.items()}
    here = run(BETTER) | {paths.PIPELINE: yaml.safe_dump({"stages": stages}).encode()}
    here[paths.LOCK] = here[paths.LOCK].replace(b"evaluate:", b"evaluate@a:")
    check_all_run(source(here))


@pytest.mark.parametrize(
    ("stages", "lines"),
    [
        (STAGES, ()),
        (with_evaluate(desc="another", meta={"who": "me"}), ()),
        (
            with_evaluate(cmd="cp forged.csv metrics", outs=["a"]),
            ("dvc.yaml: stage evaluate has changed its cmd, outs, compared with the baseline",),
        ),
        (
            {name: stage for name, stage in STAGES.items() if name != "train"} | {"fit": {}},
            (
                "dvc.yaml: stage fit is new, compared with the baseline",
                "dvc.yaml: stage train is gone, compared with the baseline",
            ),
        ),
    ],
)
def test_what_has_changed(stages: object, lines: tuple[str, ...]) -> None:
    assert changes(defining(stages), defining(STAGES)) == lines


def test_frozen_results_are_not_accepted(repository: Repository) -> None:
    repository.edit(paths.PIPELINE, "code.py train\n", "code.py train\n    frozen: true\n")
    with pytest.raises(InputError, match="stage train is frozen"):
        judge("main")


def test_another_command_is_named_in_the_verdict(repository: Repository) -> None:
    repository.edit(paths.PIPELINE, "code.py evaluate", "code.py evaluate --best")
    repository.lock()
    verdict = judge("main")
    assert verdict.outcome == "accept"
    assert verdict.notes == (
        "dvc.yaml: stage evaluate has changed its cmd, compared with the baseline",
    )

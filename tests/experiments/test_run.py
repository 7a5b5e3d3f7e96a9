"""One named set of parameters, run in this folder."""

import os

import pytest

from experiments import results, run, sets
from tests.experiments.support import Made
from tests.support import Workspace


@pytest.fixture
def became(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that the program became."""
    commands: list[list[str]] = []
    monkeypatch.chdir(fresh.root)
    monkeypatch.setattr(os, "execv", lambda _program, command: commands.append(list(command[4:])))
    return commands


def test_its_name_is_that_of_the_set_and_the_seed(became: list[list[str]]) -> None:
    run.main(run.parser().parse_args(["lesson-16-neurons", "--seed=3"]))
    (command,) = became
    assert command[:4] == ["exp", "run", "--name", "lesson-16-neurons-seed-3"]
    assert "train.seed=3" in command


def test_one_that_was_run_is_brought_back(
    became: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Made("default-seed-3", [0.5])
    wanted = sets.settings("default", 3)
    monkeypatch.setattr(Made, "params", lambda _self: wanted)
    monkeypatch.setattr(results, "finished", lambda: {there.name: there})
    run.main(run.parser().parse_args(["default", "--seed=3"]))
    assert became == [["exp", "apply", "default-seed-3"]]

"""The named sets of parameters, and how they are applied."""

from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from experiments import sets
from pipeline import params, paths
from pipeline.errors import InputError
from tests.support import Workspace, suite_params


@pytest.fixture(autouse=True)
def here(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is a repository with the suite's parameters."""
    monkeypatch.chdir(fresh.root)


@pytest.mark.parametrize("name", sets.load())
def test_a_set_is_allowed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(suite_params())
    before = sets.values(path.read_bytes(), "params.yaml")
    assert sets.named(name).keys() <= before.keys()
    apply_overrides(path, [f"{key}={value}" for key, value in sets.named(name).items()])
    params.load(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [("cnn-smal", "did you mean cnn-small?\n"), ("x", "expected one of default, mlp-best, ")],
)
def test_an_unknown_set(name: str, message: str, fresh: Workspace) -> None:
    result = fresh.module("experiments.run", name)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert f"run: {name!r}: no such experiment; {message}" in result.stderr


@pytest.mark.parametrize("module", ["experiments.run", "experiments.ladder"])
def test_no_name(module: str, fresh: Workspace) -> None:
    result = fresh.module(module, "")  # as make does without NAME
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert ": NAME is missing; name a set of sets.yaml, such as NAME=cnn-small" in result.stderr
    assert ": default, mlp-best, " in result.stderr


@pytest.mark.parametrize("content", ["- default", "default: 3", "default: [3]"])
def test_sets_that_are_none(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sets.yaml"
    path.write_text(content)
    monkeypatch.setattr(sets, "SETS", path)
    with pytest.raises(InputError, match=r"sets.yaml: expected names of sets"):
        sets.load()


def test_what_an_earlier_experiment_left_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(suite_params())
    monkeypatch.setattr(paths, "PARAMS", path)
    committed = sets.values(path.read_bytes(), "params.yaml")
    apply_overrides(path, ["model.mlp.hidden_units=[8]", "train.optimizer=sgd"])
    assert sets.changes(committed | {"train.seed": 7}, sets.here()) == [
        *("--set-param", "model.mlp.hidden_units=[64]"),
        *("--set-param", "train.optimizer=adam"),
        *("--set-param", "train.seed=7"),
    ]


def test_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(suite_params())
    for name in ("cnn-small", "lesson-deeper-16-16", "cnn-best", "cnn-small", "mlp-best"):
        wanted = sets.settings(name, 3)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(paths, "PARAMS", path)
            changes = sets.changes(wanted, sets.here())
        apply_overrides(path, changes[1::2])  # as `dvc exp run --set-param` does
        assert sets.values(path.read_bytes(), "params.yaml") == wanted
        params.load(path)

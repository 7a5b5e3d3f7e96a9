"""Values of parameters on the command line, and what their experiments are called."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import grid, sets, sweep
from pipeline.errors import InputError
from tests.support import Start, Workspace, suite_params

BASE = sets.values(suite_params().encode(), "params.yaml")


def test_values_are_separated_by_commas_outside_brackets_and_quotes() -> None:
    text = """a.rate=1e-4,1e-3  a.units=[128, 64],[],[512] a.name='x,y',"it's" a.flag=true,1,1.0"""
    found = {
        key: grid.values(key, what, "GRID") for key, what in grid.entries(text, "GRID").items()
    }
    assert found == {
        "a.rate": [0.0001, 0.001],
        "a.units": [[128, 64], [], [512]],
        "a.name": ["x,y", "it's"],
        "a.flag": [True, 1, 1.0],
    }


@given(st.lists(st.lists(st.integers(0, 999), max_size=3), min_size=1, unique_by=str))
def test_lists_come_back_however_they_are_spaced(lists: list[list[int]]) -> None:
    for text in (",".join(map(str, lists)), ",".join(map(str, lists)).replace(" ", "")):
        assert grid.values("a.b", text, "GRID") == lists


@given(st.text(string.ascii_letters + string.digits + "=,.[]{}'\" \t:-", max_size=40))
def test_anything_is_read_or_refused_in_one_line(text: str) -> None:
    said = "GRID"
    try:
        for key, what in grid.entries(text, "GRID").items():
            grid.values(key, what, "GRID")
    except InputError as error:
        said = str(error)
    assert said.splitlines() == [said]
    assert said.startswith("GRID")


def test_each_with_each() -> None:
    assert grid.combinations({"a.b": [1, 2], "c.d": ["x", "y"]}) == [
        {"a.b": 1, "c.d": "x"},
        {"a.b": 1, "c.d": "y"},
        {"a.b": 2, "c.d": "x"},
        {"a.b": 2, "c.d": "y"},
    ]


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ({"train.learning_rate": 1e-4}, "sweep-learning_rate-0.0001"),
        ({"train.seed": 3, "preprocess.seed": 0}, "sweep-train.seed-3-preprocess.seed-0"),
        ({"model.mlp.hidden_units": [128, 64]}, "sweep-mlp.hidden_units-128-64"),
        ({"model.mlp.hidden_units": []}, "sweep-mlp.hidden_units-none"),
        ({"augment.flip": True, "model.name": "cnn"}, "sweep-flip-true-model.name-cnn"),
        ({"dataset.name": "a b/..c."}, "sweep-dataset.name-a-b--.c"),
    ],
)
def test_names(chosen: sets.Flat, name: str) -> None:
    assert grid.name("sweep", chosen, BASE) == name


def test_names_that_are_too_long_differ_in_their_ends() -> None:
    lists = [[*range(100), last] for last in (1, 2)]
    names = {grid.name("sweep", {"model.mlp.hidden_units": one}, BASE) for one in lists}
    assert len(names) == 2
    assert {len(name) for name in names} == {150 + 1 + 8}


@given(st.text(max_size=20) | st.sampled_from(["a.lock", "lock.", "..lock", "x.lock.."]))
def test_git_takes_every_name(value: str) -> None:
    name = grid.name("sweep", {"dataset.name": value}, BASE)
    assert name == name.strip("-.")
    assert not set(name) - set(string.ascii_letters + string.digits + "-+._")
    assert ".." not in name
    assert not name.endswith(".lock")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "GRID is missing; such as GRID='train.learning_rate=1e-4,1e-3'"),
        ("train.seed", "GRID: found train.seed, expected section.key=VALUE,VALUE"),
        ("train.seed=1 train.seed=2", "GRID: found train.seed twice; name all of its values"),
        ("train.seed=1,,2", "GRID: found train.seed=1,,2, expected a value at each comma"),
        ("train.seed=1,1", "GRID: found train.seed=1 twice"),
        ("model.mlp.hidden_units=[8", "GRID: found model.mlp.hidden_units=[8, expected ] at the"),
        ("model.mlp.hidden_units=8]", "GRID: found ] in model.mlp.hidden_units=8] with nothing"),
        ("train.lerning_rate=1", "GRID: train.lerning_rate: unknown key, expected only epochs"),
        ("train.seed.more=1", "GRID: train.seed.more: unknown key, seed has no keys"),
        ("tain.seed=1", "GRID: tain: unknown key, expected only dataset, preprocess"),
        ("train.learning_rate=1e-4,fast", "GRID: train.learning_rate: found 'fast', expected a nu"),
        ("train.epochs=2 train.warmup_epochs=0,5", "GRID: train.warmup_epochs: found 5, expected"),
        ("dataset.name=digit", "GRID: dataset.name: found 'digit', expected a folder in"),
        (
            "model.cnn.filters=[4],[8]",
            "GRID: model.cnn.filters changes nothing where model.name is",
        ),
        ("train.seed=" + ",".join(map(str, range(10_001))), "GRID: found 10,001 combinations"),
    ],
)
def test_what_is_refused_before_anything_runs(
    text: str, message: str, fresh: Workspace, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.chdir(fresh.root)
    code, out, errors = start("experiments.sweep", text)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith(f"sweep: {message}")


def test_a_plan(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fresh.root)
    text = "train.learning_rate=1e-4,1e-3 model.mlp.hidden_units=[128],[512]"
    wanted = sweep.planned(text, "default")
    assert [*wanted] == [
        "sweep-learning_rate-0.0001-mlp.hidden_units-128",
        "sweep-learning_rate-0.0001-mlp.hidden_units-512",
        "sweep-learning_rate-0.001-mlp.hidden_units-128",
        "sweep-learning_rate-0.001-mlp.hidden_units-512",
    ]
    (first, *_) = wanted.values()
    assert first == BASE | {"train.learning_rate": 0.0001, "model.mlp.hidden_units": [128]}
    (name,) = sweep.planned("train.seed=7", "mlp-best")
    assert name == "mlp-best-train.seed-7"

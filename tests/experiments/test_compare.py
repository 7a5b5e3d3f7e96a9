"""Experiments side by side."""

import pytest

from experiments import compare, sets
from experiments.compare import Row
from tests.support import Workspace

IMAGES: sets.Flat = {"dataset.name": "mnist", "preprocess.validation": 0.1, "preprocess.seed": 0}
OURS = IMAGES | {
    "model.name": "mlp",
    "model.mlp.hidden_units": [512],
    "model.cnn.hidden_units": [],
    "train.seed": 0,
    "train.learning_rate": 0.001,
    "gate.floor": 0.9,
}


def row(name: str, val_accuracy: float, **changes: object) -> Row:
    """A row whose parameters are OURS, changed; `__` stands for a dot."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return Row(name, OURS | changed, (0.875, val_accuracy, 0.25))


ROWS = [
    row("elsewhere", 1.0, dataset__name="digits"),
    row("seed-1", 0.5, train__seed=1),
    row("cnn", 0.625, model__name="cnn", model__cnn__hidden_units=[16, 8]),
    row("(committed)", 0.75),
    row("narrow", 0.625, model__mlp__hidden_units=[16], train__seed=2),
]


def test_the_best_first_and_other_images_last() -> None:
    names = [one.name for one in compare.ordered(ROWS, IMAGES)]
    assert names == ["(committed)", "cnn", "narrow", "seed-1", "elsewhere"]


def test_only_what_differs_the_seed_last() -> None:
    assert compare.differing(ROWS, IMAGES) == [
        "model.name",
        "dataset.name",
        "model.mlp.hidden_units",  # 512, 16, and that of the other network
        "model.cnn.hidden_units",
        "train.seed",
    ]
    assert compare.differing(ROWS[:1], IMAGES) == []


def test_names_are_as_short_as_is_clear() -> None:
    keys = ["model.mlp.hidden_units", "model.cnn.hidden_units", "train.seed", "model.name"]
    assert compare.short(keys) == ["mlp.hidden_units", "cnn.hidden_units", "seed", "model.name"]
    assert compare.short(["train.seed", "preprocess.seed"]) == ["train.seed", "preprocess.seed"]
    assert compare.short(["top"]) == ["top"]


def test_a_table() -> None:
    rows = [ROWS[3], ROWS[2]]
    lines, left_out = compare.fitting(rows, compare.differing(rows, IMAGES), 80)
    assert lines == [
        "                           val_    val_              mlp.hidden_  cnn.hidden_",
        "name         accuracy  accuracy    loss  model.name        units        units",
        "(committed)    87.50%    75.00%  0.2500         mlp        [512]             ",
        "cnn            87.50%    62.50%  0.2500         cnn                    [16,8]",
    ]
    assert left_out == []


@pytest.mark.parametrize(("width", "count"), [(80, 3), (60, 1), (40, 0), (10, 0)])
def test_what_does_not_fit_is_left_out(width: int, count: int) -> None:
    rows = [ROWS[3], ROWS[2]]
    keys = compare.differing(rows, IMAGES)
    lines, left_out = compare.fitting(rows, keys, width)
    assert left_out == compare.short(keys)[count:]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= max(width, 39)


def test_none_to_compare(workspace: Workspace) -> None:
    result = workspace.module("experiments.compare")
    assert (result.returncode, result.stderr) == (
        2,
        "compare: there is nothing to compare; run an experiment: dvc exp run\n",
    )


def test_the_results_here_and_an_experiment_of_an_earlier_commit(workspace: Workspace) -> None:
    base = workspace.run("git", "rev-parse", "HEAD").stdout.strip()
    workspace.set("train.seed", 5)
    workspace.commit("Stands for an experiment")
    ref = f"refs/exps/{base[:2]}/{base[2:]}/other-seed"
    workspace.run("git", "update-ref", ref, "HEAD")
    workspace.run("git", "reset", "--quiet", "--hard", base)
    workspace.run("git", "commit", "--quiet", "--allow-empty", "--message", "Later")
    assert names(workspace) == ["(committed)", "other-seed"]
    workspace.set("evaluate.calibration_bins", 7)
    assert names(workspace) == ["(committed)", "other-seed"]  # what is here is stale
    workspace.repro()
    assert names(workspace) == ["(committed)", "(here)", "other-seed"]


def names(workspace: Workspace) -> list[str]:
    """The first column of what `make compare` shows."""
    lines = workspace.run("python", "-m", "experiments.compare").stdout.splitlines()
    return sorted(line.split()[0] for line in lines[2:])

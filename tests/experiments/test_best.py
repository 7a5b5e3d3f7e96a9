from collections.abc import Sequence

import pytest

from experiments import best, results, sets
from tests.experiments.support import Made
from tests.support import Workspace

IMAGES: sets.Flat = {"dataset.name": "mnist", "preprocess.validation": 0.1, "preprocess.seed": 0}


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_the_best_is_the_best_on_the_same_validation_images(metric: str) -> None:
    runs = [
        Made("last counts", [0.99, 0.5]),
        Made("second", [0.75, 0.99], kept=0),
        Made("first", [0.1, 0.875]),
        Made("also first", [0.875]),
        Made("on the test images", [1.0], validation="test"),
        Made("on other ones", [1.0], seed=1),
        Made("on another dataset", [1.0], dataset="digits"),
    ]
    found = [run.name for _, run in best.ranked(runs, metric, IMAGES)]
    assert found == ["also first", "first", "second", "last counts"]


def test_the_committed_run_comes_before_one_that_is_as_good() -> None:
    runs = [Made("a", [0.75]), Made(results.COMMITTED, [0.75]), Made("b", [0.5])]
    found = [run.name for _, run in best.ranked(runs, "val_accuracy", IMAGES)]
    assert found == [results.COMMITTED, "a", "b"]


def shown(
    runs: Sequence[results.Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """What the program prints about `runs`, one of which may be the committed one."""
    ours = [run for run in runs if run.name == results.COMMITTED]
    monkeypatch.setattr(results, "committed", lambda: ours)
    monkeypatch.setattr(
        results, "finished", lambda: {run.name: run for run in runs if run not in ours}
    )
    monkeypatch.setattr(sets, "committed", lambda: IMAGES)
    best.main(best.parser().parse_args([]))
    return capsys.readouterr().out.splitlines()


def test_an_experiment_is_to_adopt_only_if_it_is_better_than_the_committed_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, other = Made(results.COMMITTED, [0.75]), Made("other", [1.0], seed=1)
    assert shown([ours, Made("worse", [0.5]), other], monkeypatch, capsys) == [
        "1  val_accuracy 0.7500  (committed)",
        "2  val_accuracy 0.5000  worse",
        "2 compared, 1 on other images left out",
        "the committed run is the best",
    ]
    better = [Made(f"better-{number}", [0.875]) for number in range(6)]
    assert shown([ours, *better], monkeypatch, capsys) == [
        *(f"{number + 1}  val_accuracy 0.8750  better-{number}" for number in range(5)),
        "7  val_accuracy 0.7500  (committed)",
        "7 compared, 0 on other images left out",
        "to adopt the first one: dvc exp apply better-0",
    ]


def test_no_best_of_none(workspace: Workspace) -> None:
    workspace.set("preprocess.validation", "test")  # as an experiment leaves it
    result = workspace.module("experiments.best")
    assert result.returncode == 2
    assert "best: no experiment of this commit uses the images that" in result.stderr
    workspace.commit("Validated on the test images")
    assert "the test images choose nothing" in workspace.module("experiments.best").stderr

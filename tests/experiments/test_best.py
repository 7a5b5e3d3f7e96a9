import pytest

from experiments import best, sets
from tests.experiments.support import Made
from tests.support import Workspace

IMAGES: sets.Flat = {"dataset.name": "mnist", "preprocess.validation": 0.1, "preprocess.seed": 0}


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_the_best_is_the_best_on_the_same_validation_images(metric: str) -> None:
    runs = [
        Made("last counts", [0.99, 0.5]),
        Made("second", [0.75]),
        Made("first", [0.1, 0.875]),
        Made("also first", [0.875]),
        Made("on the test images", [1.0], validation="test"),
        Made("on other ones", [1.0], seed=1),
        Made("on another dataset", [1.0], dataset="digits"),
    ]
    found = [run.name for _, run in best.ranked(runs, metric, IMAGES)]
    assert found == ["also first", "first", "second", "last counts"]


def test_no_best_of_none(workspace: Workspace) -> None:
    result = workspace.module("experiments.best")
    assert result.returncode == 2
    assert "best: no experiment of this commit uses the images that" in result.stderr
    workspace.set("preprocess.validation", "test")
    assert "the test images choose nothing" in workspace.module("experiments.best").stderr

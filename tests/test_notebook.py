"""The pipeline in a notebook, and the lesson as one."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.notebook import NOTEBOOK, encode, execute
from pipeline import notebook, paths
from pipeline.artifacts import keras_bytes
from pipeline.data.split import Split
from pipeline.errors import InputError
from tests.support import REPOSITORY, Workspace


@pytest.fixture
def here(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A reproduced copy, in which this process works."""
    monkeypatch.chdir(workspace.root)
    return workspace


def test_the_model_is_that_of_the_pipeline(here: Workspace) -> None:
    trained = notebook.train(
        notebook.parameters({}), Split.load(paths.TRAIN), Split.load(paths.VALIDATION)
    )
    model = (here.root / paths.MODEL).read_bytes()
    assert keras_bytes(trained.network, trained.about) == model
    epochs = len(trained.history["loss"])
    loss, accuracy = notebook.plot(trained.history).axes
    assert [axes.get_title(loc="left") for axes in (loss, accuracy)] == ["Loss", "Accuracy"]
    assert [len(np.asarray(line.get_xdata())) for line in loss.get_lines()] == [epochs, epochs]


def test_a_dataset_in_memory(here: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    before = here.read("data")
    training, test = notebook.load("digits")
    assert training.images.shape == (1437, 8, 8)
    assert np.bincount(test.labels).sum() == 360
    assert here.read("data") == before
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_dataset_that_there_is_not() -> None:
    with pytest.raises(InputError, match=r"^load: found 'digit', .*; did you mean digits"):
        notebook.load("digit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.epochs": -1}, "parameters: train.epochs: found -1, expected a whole number"),
        ({"train.epoch": 3}, "parameters: train.epoch: unknown key.* did you mean epochs"),
        ({"modell.name": "mlp"}, "parameters: modell: unknown key.* did you mean model"),
    ],
)
@pytest.mark.usefixtures("here")
def test_parameters_that_are_not_allowed(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        notebook.parameters(changes)


@pytest.mark.long("pipeline/train", "pipeline/notebook.py")
@pytest.mark.usefixtures("here")
def test_a_network_does_not_depend_on_the_one_before() -> None:
    training, test = notebook.load("digits")

    def weights(name: str) -> list[Any]:
        params = notebook.parameters({"model.name": name, "train.epochs": 2})
        return list(notebook.train(params, training, test).network.get_weights())

    before, _, after = (weights(name) for name in ("mlp", "cnn", "mlp"))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_lesson_is_committed_with_its_outputs() -> None:
    content = json.loads((REPOSITORY / NOTEBOOK).read_text())
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    assert "((60000, 28, 28), (60000,), (10000, 28, 28))" in json.dumps(cells)
    assert not any("id" in cell or cell["metadata"] for cell in content["cells"])
    assert content["metadata"].keys() == {"kernelspec", "language_info"}
    lines = [
        line for cell in cells for output in cell["outputs"] for line in output.get("text", [])
    ]
    timed = [line.split(":")[0] for line in lines if re.search(r"\d m?s\b", line)]
    assert timed == ["CPU times", "Wall time"]


@pytest.mark.long("docs/lesson.ipynb", "experiments/notebook.py", "pipeline")
def test_the_lesson_runs_on_the_sample(fresh: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="requirements-notebook.lock is not installed")
    copy = fresh.copy(tmp_path / "copy")
    done = execute(copy.root / NOTEBOOK, "mnist_sample")
    assert copy.run("git", "status", "--porcelain").stdout == ""
    committed = json.loads((REPOSITORY / NOTEBOOK).read_text())["cells"]
    cells = json.loads(encode(done))["cells"]
    assert [kinds(cell) for cell in cells] == [kinds(cell) for cell in committed]
    *_, last = (cell["outputs"][0] for cell in cells if cell.get("outputs"))
    accuracies = [float(line.split()[3].rstrip("%")) for line in last["text"]]
    assert accuracies[0] == max(accuracies) > 94
    assert accuracies[1] == min(accuracies) > 85


def kinds(cell: dict[str, Any]) -> tuple[str, list[str]]:
    """Of a cell, and of its outputs."""
    return cell["cell_type"], [output["output_type"] for output in cell.get("outputs", [])]

"""Every architecture and every option of a training, on the digits, by the real program."""

import csv
import subprocess
from collections.abc import Mapping

import pytest

from pipeline.training.models import MODELS
from tests.support import Workspace, suite_settings

pytestmark = pytest.mark.long("pipeline/training", "pipeline/train.py", "pipeline/params.py")

AUGMENTED: dict[str, object] = {
    "augment.shift": 1,
    "augment.rotation": 10.0,
    "augment.zoom": 0.1,
    "augment.shear": 10.0,
    "augment.elastic": 1.0,
    "augment.flip": True,
    "augment.erase": 3,
}
SELECTED: dict[str, object] = {"train.average": 0.9, "train.keep": "best"}
OPTIONS: dict[str, dict[str, object]] = {
    **{name: {"model.name": name} for name in MODELS if name != "mlp"},
    "double convolutions": {"model.name": "cnn", "model.cnn.convolutions": 2},
    "average pooling": {"model.name": "cnn", "model.cnn.pooling": "average"},
    "sgd": {"train.optimizer": "sgd", "train.learning_rate": 0.1},
    "momentum": {
        "train.optimizer": "sgd",
        "train.learning_rate": 0.05,
        "train.momentum": 0.9,
        "train.nesterov": True,
    },
    "constant rate": {"train.schedule": "constant"},
    "warm-up": {"train.warmup_epochs": 1},
    "last batch skipped": {"train.drop_last": True},
    "weight decay": {"train.weight_decay": 0.1},
    "label smoothing": {"train.label_smoothing": 0.1},
    "class weights": {"train.class_weights": "balanced"},
    "average": {"train.average": 0.9},
    "best": {"train.keep": "best", "train.patience": 1},
    "dropout": {"model.mlp.dropout": 0.2},
    **{key: {key: value} for key, value in AUGMENTED.items()},
}
RESULTS = ("models/model.keras", "metrics/history.csv", "metrics/train.json")
TRAIN = ("python", "-m", "pipeline.train")
STREAMED = """
from runpy import run_module
from pipeline import machine
machine.memory = lambda: 0  # too little for any images
run_module("pipeline.train", run_name="__main__")
"""
WAYS = {
    "without the compile cache": ("env", "NO_COMPILE_CACHE=1", *TRAIN),
    "on one core": ("taskset", "--cpu-list", "0", *TRAIN),
    "streamed": ("python", "-c", STREAMED),
}


def change(workspace: Workspace, changes: Mapping[str, object]) -> None:
    for key, value in changes.items():
        workspace.set(key, value)


@pytest.mark.nightly
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_learns_and_matters(option: str, workspace: Workspace) -> None:
    workspace.set("train.epochs", 8)
    workspace.run(*TRAIN)
    before = workspace.read(*RESULTS)
    change(workspace, OPTIONS[option])
    workspace.run(*TRAIN)
    assert workspace.read(*RESULTS)["metrics/history.csv"] != before["metrics/history.csv"]
    rows = list(csv.DictReader((workspace.root / "metrics/history.csv").read_text().splitlines()))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["val_accuracy"]) > 0.8  # chance is 0.1


@pytest.mark.parametrize("architecture", MODELS)
def test_an_architecture_comes_out_the_same_killed_or_not(
    architecture: str, workspace: Workspace
) -> None:
    change(workspace, AUGMENTED | SELECTED | {"model.name": architecture})
    if "dropout" in suite_settings(architecture):
        workspace.set(f"model.{architecture}.dropout", 0.2)
    once = trained_once_and_killed(workspace)
    workspace.run(*TRAIN)
    assert workspace.read(*RESULTS) == once


@pytest.mark.nightly
@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_comes_out_the_same_in_every_way(option: str, workspace: Workspace) -> None:
    change(workspace, OPTIONS[option])
    once = trained_once_and_killed(workspace)
    for way, command in WAYS.items():
        remove_results(workspace)
        workspace.run(*command)
        assert workspace.read(*RESULTS) == once, way


def remove_results(workspace: Workspace) -> None:
    for path in RESULTS:
        (workspace.root / path).unlink()


def trained_once_and_killed(workspace: Workspace) -> dict[str, bytes]:
    """The results of a training, after another one, killed and resumed, has yielded the same."""
    workspace.set("train.epochs", 60)
    workspace.run(*TRAIN)
    once = workspace.read(*RESULTS)
    remove_results(workspace)
    with workspace.start(*TRAIN, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch  3/60"):
                process.kill()
    assert process.returncode == -9
    assert "resuming after epoch " in workspace.run(*TRAIN).stdout
    assert workspace.read(*RESULTS) == once
    return once

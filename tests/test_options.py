"""Every architecture and every option of a training, on the digits, by the real program."""

import csv
import subprocess
from collections.abc import Mapping

import pytest

from tests.conftest import Workspace

pytestmark = pytest.mark.long

CNN = {"model.name": "cnn", "model.filters": "[16]", "model.hidden_units": "[32]"}
NOISY = {
    "model.dropout": "0.2",
    "augment.shift": "1",
    "augment.rotation": "10.0",
    "augment.zoom": "0.1",
    "augment.flip": "true",
}
ARCHITECTURES = {"mlp": NOISY, "cnn": NOISY | CNN}
OPTIONS: dict[str, dict[str, str]] = {
    "cnn": CNN,
    "sgd": {"train.optimizer": "sgd", "train.learning_rate": "0.1"},
    "constant rate": {"train.schedule": "constant"},
    "warm-up": {"train.warmup_epochs": "1"},
    "last batch left out": {"train.drop_last": "true"},
    "weight decay": {"train.weight_decay": "0.1"},
    "label smoothing": {"train.label_smoothing": "0.1"},
    "dropout": {"model.dropout": "0.2"},
    "shift": {"augment.shift": "1"},
    "rotation": {"augment.rotation": "10.0"},
    "zoom": {"augment.zoom": "0.1"},
    "flip": {"augment.flip": "true"},
}
RESULTS = ("models/model.keras", "metrics/history.csv", "metrics/train.json")
TRAIN = ("python", "-m", "pipeline.train")


def change(workspace: Workspace, changes: Mapping[str, str]) -> None:
    for key, value in changes.items():
        workspace.set(key, value)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_learns_and_matters(option: str, workspace: Workspace) -> None:
    workspace.set("train.epochs", "8")
    workspace.run(*TRAIN)
    before = workspace.read(*RESULTS)
    change(workspace, OPTIONS[option])
    workspace.run(*TRAIN)
    assert workspace.read(*RESULTS)["metrics/history.csv"] != before["metrics/history.csv"]
    rows = list(csv.DictReader((workspace.root / "metrics/history.csv").read_text().splitlines()))
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["val_accuracy"]) > 0.85  # chance is 0.1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_architecture_comes_out_the_same_killed_or_not(
    architecture: str, workspace: Workspace
) -> None:
    workspace.set("train.epochs", "60")
    change(workspace, ARCHITECTURES[architecture])
    workspace.run(*TRAIN)
    once = workspace.read(*RESULTS)
    workspace.run(*TRAIN)
    assert workspace.read(*RESULTS) == once

    with subprocess.Popen(
        TRAIN,
        cwd=workspace.root,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch  3/60"):
                process.kill()
    assert process.returncode == -9
    for path in RESULTS:
        (workspace.root / path).unlink()
    assert "going on after epoch " in workspace.run(*TRAIN).stdout
    assert workspace.read(*RESULTS) == once


def test_every_architecture_is_here() -> None:
    from pipeline.models import MODELS

    assert set(MODELS) == set(ARCHITECTURES)

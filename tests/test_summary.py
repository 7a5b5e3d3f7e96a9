"""What `make demo` and `make repro` end with."""

import json
import re
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.summary import summary
from tests.support import Workspace


def test_the_summary(reproduced: Workspace) -> None:
    scored = json.loads((reproduced.root / "metrics/evaluate.json").read_text())
    trained = json.loads((reproduced.root / "metrics/train.json").read_text())
    result = reproduced.module("pipeline.summary")
    lines = result.stdout.splitlines()
    assert lines[0] == f"accuracy   {scored['accuracy']:.2%} on the 360 test images of digits,"
    assert lines[2] == f"model      models/model.keras, {trained['weights']:,} weights"
    assert max(map(len, lines)) <= 80
    pictures = re.findall(r"metrics/\w+.png", lines[3])
    assert [(reproduced.root / name).exists() for name in pictures] == [True] * 3


def test_the_summary_of_uneven_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths.METRICS.mkdir()
    content: dict[Path, dict[str, object]] = {
        paths.DOWNLOAD_METRICS: {"dataset": "birds"},
        paths.PREPROCESS_METRICS: {"images": {"test": {"total": 4}}},
        paths.TRAIN_METRICS: {"weights": 7},
        paths.EVALUATE_METRICS: {
            "accuracy": 0.75,
            "accuracy_interval": {"low": 0.3, "high": 0.95},
            "balanced_accuracy": 0.5,
        },
    }
    for path, metrics in content.items():
        path.write_text(json.dumps(metrics))
    assert summary().splitlines()[:3] == [
        "accuracy   75.00% on the 4 test images of birds,",
        "           95% interval 30.00% to 95.00%",
        "balanced   50.00%, the mean over classes",
    ]


def test_no_results(fresh: Workspace) -> None:
    result = fresh.module("pipeline.summary")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "summary: metrics/download.json: cannot be read" in result.stderr

"""What `make demo` and `make repro` end with."""

import json
import re

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


def test_no_results(fresh: Workspace) -> None:
    result = fresh.module("pipeline.summary")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "summary: metrics/download.json: cannot be read" in result.stderr

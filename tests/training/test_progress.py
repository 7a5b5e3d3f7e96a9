"""What a training reports, and how one that diverged ends."""

import math
import os
import pty
import re
import termios
import time
from contextlib import suppress

import pytest

from pipeline.errors import TrainingError
from pipeline.training.progress import Progress, StopUnlessFinite

LOGS = {"accuracy": 0.75, "loss": 0.5, "val_accuracy": 0.875, "val_loss": 12.5}


def test_a_row_for_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(10)
    progress.on_epoch_begin(2)
    progress.on_epoch_end(2, LOGS)
    assert re.fullmatch(
        r"                loss  accuracy  val_loss  val_accuracy\n"
        r"epoch  3/10   0.5000    0.7500   12.5000        0.8750    0.\d s\n",
        capsys.readouterr().out,
    )


@pytest.mark.parametrize("columns", [0, 80])
def test_the_rows_stay_above_a_bar(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    ticks = iter([0, 100, 100, 102, 102, 106])  # seconds: 100 with compilation, then 2 and 4
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
        progress = Progress(4)
        for epoch in range(3):
            progress.on_epoch_begin(epoch)
            progress.on_epoch_end(epoch, LOGS)
        progress.close()
    shown = ""
    with os.fdopen(ours, "rb", buffering=0) as screen, suppress(OSError):  # the other end is closed
        while True:
            shown += screen.read(1000).decode()
    rows = re.findall(r"epoch \d/4.*", shown)
    assert [row.split()[-2] for row in rows] == ["100.0", "2.0", "4.0"]
    if columns:
        bars = [part.strip() for part in re.split(r"[\r\n]+", shown) if "|" in part]
        assert [re.sub(r"\|.*\|", "|", bar) for bar in dict.fromkeys(bars)] == [
            "compiling | 0/4",
            "training | 1/4",
            "training | 2/4, 00:04 left",
            "training | 3/4, 00:03 left",
        ]
    assert max(map(len, re.split(r"[\r\n]+", shown))) <= 80


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_training_ends(value: float) -> None:
    with pytest.raises(TrainingError, match=f"val_loss is {value} after epoch 3; lower"):
        StopUnlessFinite().on_epoch_end(2, {"loss": 1.0, "val_loss": value})

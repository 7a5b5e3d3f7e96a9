"""What a training reports, and how one that diverged ends."""

import math
import os
import pty
import re
import termios
from contextlib import suppress

import pytest

from pipeline.errors import TrainingError
from pipeline.training.progress import Progress, StopUnlessFinite


def test_a_line_for_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(10)
    progress.on_epoch_begin(2)
    progress.on_epoch_end(2, {"loss": 0.5, "accuracy": 0.75})
    assert re.fullmatch(
        r"epoch  3/10  loss 0.5000  accuracy 0.7500  0.0 s\n", capsys.readouterr().out
    )


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        progress = Progress(2)
        for epoch in range(2):
            progress.on_epoch_begin(epoch)
            progress.on_epoch_end(epoch, {"loss": 0.5, "val_accuracy": 0.75})
    shown = ""
    with os.fdopen(ours, "rb", buffering=0) as screen, suppress(OSError):  # the other end is closed
        while True:
            shown += screen.read(1000).decode()
    bars = [part for part in re.split(r"[\r\n]+", shown) if "2/2" in part]
    assert "| 2/2 [" in bars[-1], shown
    assert "val_accuracy=0.7500" in bars[-1]
    assert "epoch 1/2" not in shown


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_training_ends(value: float) -> None:
    with pytest.raises(TrainingError, match=f"val_loss is {value} after epoch 3; lower"):
        StopUnlessFinite().on_epoch_end(2, {"loss": 1.0, "val_loss": value})

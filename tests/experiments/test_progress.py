"""What is shown while experiments run, and the time left."""

import os
import pty
import re
import termios
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from experiments import logs, progress
from experiments.progress import Display, Watch
from tests.experiments.support import write_log

EPOCHS = "epoch 1/4  accuracy 0.9  2.0 s\nepoch 2/4  accuracy 0.9  1.0 s\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_time_left() -> None:
    left = progress.seconds_left
    assert left(8, [], 2, 20, 0) is None
    assert left(8, [[2.0]], 2, 20, 0) is None  # compilation is in it
    # 10 seconds but for the epoch after the first went to the start, and 2 more have to start.
    assert left(11, [[2.0, 1.0]], 2, 20, 0) == 2 * 10 + 20 * 1
    # The one that has ended took 6 seconds for its start. Of the 6 of the second, 4 have passed.
    assert left(12, [[2.0, 1.0, 1.0], []], 1, 20, 6) == (2 + 6) + 20 * 1
    # From the cache: no epoch, and its start counts.
    assert left(12, [[2.0, 1.0, 1.0], []], 0, 0, 5) == 0


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (99, "1/9 done, one epoch 1/2, two epoch 1/2, 00:10 left"),
        (49, "1/9 done, one epoch 1/2, 1 more, 00:10 left"),
        (42, "1/9 done, 2 running, 00:10 left"),
        (9, "1/9 done, 2 running, 00:10 left"),
    ],
)
def test_what_does_not_fit_is_counted(width: int, line: str) -> None:
    running = ["one epoch 1/2", "two epoch 1/2"]
    assert progress.fitting("1/9 done", running, "00:10 left", width) == line


def steps(display: Display, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three experiments one runs, another fails, and the first has its result."""
    monkeypatch.setattr("experiments.progress.time.monotonic", lambda: 100.0)
    monkeypatch.setattr(progress, "SELDOM", 0)
    write_log("a", "first", "abc", 4)  # of an earlier attempt
    watch = Watch({"first": 4, "second": 4, "third": 4}, partial(logs.latest, "abc"), jobs=1)
    left = {"first", "second", "third"}
    watch.look()
    watch.show(display, left)
    write_log("b", "first", "abc", 2, EPOCHS)
    watch.look()
    monkeypatch.setattr("experiments.progress.time.monotonic", lambda: 107.0)
    watch.show(display, left)
    assert watch.failed(left) == set()
    write_log("c", "second", "abc", 4, "train: bad\nERROR: failed to reproduce 'train': x")
    write_log("b", "first", "abc", 6, EPOCHS)
    watch.look()
    display.keep("done  first")
    assert watch.failed({"second", "third"}) == {"second"}
    assert watch.reason("third") == ""
    watch.show(display, {"second", "third"})
    watch.show(display, set())  # all have ended


def test_lines_in_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Display("asking DVC") as display:
        steps(display, monkeypatch)
    # Of 7 seconds, 1 went to the second epoch and 6 to the start: 2 starts and 10 epochs are left,
    # and then 1 start, since the second one failed at once, and 4 epochs.
    assert capsys.readouterr().out.splitlines() == [
        "0/3 done, waiting for a worker",
        "0/3 done, first epoch 2/4, 00:22 left",
        "done  first",
        "1/3 done, 1 failed, waiting for a worker, 00:07 left",
    ]


def test_a_log_has_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with Display("asking DVC") as display:
        for number in range(3):
            display.show(f"{number}/3 done", [], "", 0)
    assert capsys.readouterr().out == "0/3 done\n"


def test_a_line_and_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw() -> None:
        with Display("asking DVC") as display:
            steps(display, monkeypatch)
            name = "lesson-deeper-32-16-16-seed-4 epoch 20/20"
            display.show("12/55 done", [name, name], "1:12:34 left", 0.25)

    shown = on_a_terminal(monkeypatch, 80, draw)
    lines = re.split(r"[\r\n]+", shown)
    assert max(map(len, lines)) < 80
    assert "done  first" in shown.split("\n")[0].split("\r")  # above the bar, and stays
    bars = [line for line in lines if "|" in line]
    assert bars[2].startswith("0/3 done, first epoch 2/4, 00:22 left |█")
    assert lines[-3].startswith(
        "12/55 done, lesson-deeper-32-16-16-seed-4 epoch 20/20, 1 more, 1:12:34 left"
    )
    assert lines[-2].strip() == ""  # the bar is gone


def test_a_terminal_of_an_unknown_width(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw() -> None:
        with Display("asking DVC") as display:
            display.show("1/2 done", [], "", 0.5)

    assert "1/2 done |█" in on_a_terminal(monkeypatch, 0, draw)


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, draw: Callable[[], None]) -> str:
    """What `draw` writes to a terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", terminal)
        draw()
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as screen, suppress(OSError):  # the other end is closed
        while True:
            shown += screen.read(1000)
    return shown.decode()


def test_nothing_breaks_without_dvcs_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert not logs.RUNS.exists()
    watch = Watch({"first": 4}, partial(logs.latest, "abc"), jobs=1)
    watch.look()
    assert watch.failed({"first"}) == set()
    with Display("asking DVC") as display:
        watch.show(display, {"first"})
    assert capsys.readouterr().out == "0/1 done, waiting for a worker\n"

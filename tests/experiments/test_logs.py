"""What DVC's queue writes about its runs, and how little of it may be there."""

import json
import os
from pathlib import Path

import pytest

from experiments import logs
from tests.experiments.support import write_log

OUTPUT = """Reproducing experiment 'one'
Running stage 'preprocess':
train: 1,293 images of 8x8 pixels
Running stage 'train':
> exec python -E -m pipeline.train
mlp: 10 weights
epoch  9/11  accuracy 0.9  val_loss 0.1  1.5 s
epoch 10/11  accuracy 0.9  val_loss 0.1  10.0 s
epoch 11/11  accuracy 0.9  val_loss 0.1  0.5 s
"""
ENDED = """ERROR: failed to reproduce 'train': failed to run: exec python, exited with {0}
ERROR: failed to reproduce 'train': failed to run: exec python, exited with {0}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_epochs() -> None:
    assert logs.epoch_seconds(OUTPUT) == [1.5, 10.0, 0.5]
    assert logs.last_epoch(OUTPUT) == 11
    assert logs.last_epoch("epoch  3/10   0.9267   0.2538    0.9520   0.1522    2.3 s\n") == 3
    assert logs.last_epoch("Stage 'train' is cached") == 0


def test_seconds_of_a_whole_training() -> None:
    assert logs.training_seconds(OUTPUT.replace("/11", "/3")) == 12.0
    assert logs.training_seconds(OUTPUT) is None  # it went on from the eighth epoch
    early = OUTPUT.replace("/11", "/90")
    assert logs.training_seconds(early) is None
    assert logs.training_seconds(early + "stopped after epoch 3: val_accuracy did not rise") == 12.0
    assert logs.training_seconds("Stage 'train' is cached") is None


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (OUTPUT, ""),  # it has not failed
        (OUTPUT + "train: loss is nan\n" + ENDED.format(5), "train: loss is nan"),
        (OUTPUT + "train: a is 1\nb is 2\n" + ENDED.format(2), "train: a is 1\nb is 2"),
        (
            OUTPUT + "Traceback (most recent\n  x\nValueError: y\n" + ENDED.format(1),
            "ValueError: y",
        ),
        (
            OUTPUT + ENDED.format(-9),
            "failed to reproduce 'train': failed to run: exec python, exited with -9",
        ),
    ],
)
def test_the_reason_of_a_failure(output: str, reason: str) -> None:
    assert logs.reason(output) == reason


def test_the_last_run_of_each_experiment_of_a_commit() -> None:
    for revision, name, commit, status in (
        ("a", "one", "abc", 4),
        ("b", "one", "abc", 2),
        ("c", "two", "other", 2),
        ("d", "three", "abc", 6),
    ):
        write_log(revision, name, commit, status, f"output of {revision}")
        os.utime(logs.RUNS / revision / f"{revision}.run", (ord(revision), ord(revision)))
    found = logs.latest("abc")
    assert {name: (log.text(), log.ended) for name, log in found.items()} == {
        "one": ("output of b", False),
        "three": ("output of d", True),
    }


def test_a_run_of_a_process_that_is_gone_does_not_run() -> None:
    write_log("a", "one", "abc", 2)
    log = logs.latest("abc")["one"]
    assert log.running()  # it is being prepared
    pid = log.path.with_suffix(".pid")
    pid.write_text(str(os.getpid()))
    assert log.running()
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    pid.write_text(str(child))
    assert not log.running()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "x"}', "\0", "3"])
def test_files_that_are_not_as_expected(content: str) -> None:
    assert logs.latest("abc") == {}
    write_log("a", "one", "abc", 2)
    (logs.RUNS / "a/a.run").write_text(content)
    assert logs.latest("abc") == {}
    info = {"name": "one", "baseline_rev": "abc", "status": 2}
    (logs.RUNS / "a/a.run").write_text(json.dumps(info))
    (logs.RUNS / "a/a.out").unlink()
    assert logs.latest("abc")["one"].text() == ""

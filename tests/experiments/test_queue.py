"""DVC's queue, and what is read from what it prints."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from experiments import batch, queue, results
from experiments.spread import percent
from pipeline import params
from pipeline.errors import InputError, TrainingError
from pipeline.repository import git
from tests.experiments.support import Made, write_log
from tests.support import Start, Workspace

IN_THE_QUEUE = batch.Way(jobs=1, cluster=None)
QUEUED = pytest.mark.long("experiments", "pipeline/params.py", "dvc.yaml")


def test_an_experiment_of_this_name_with_other_parameters(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.root)
    there = Made("default-seed-0", [0.5])
    monkeypatch.setattr(results, "finished", lambda: {there.name: there})
    with pytest.raises(InputError) as error:
        batch.over_seeds(["default"], [0], IN_THE_QUEUE)
    assert str(error.value) == (
        "default-seed-0: already exists with dataset.name mnist, expected digits; "
        "remove it: dvc exp remove default-seed-0"
    )


STATUS = """Task     Name    Created    Status
fab52ee  one     12:43 PM   Running
f23a65f  two     12:43 PM   Queued
a6cedd6  three   12:43 PM   Success

Worker status: {} active, 0 idle
"""


def test_what_a_killed_worker_had_is_not_waited_for() -> None:
    assert queue.waiting(STATUS.format(1)) == {"fab52ee": "one", "f23a65f": "two"}
    assert queue.waiting(STATUS.format(0)) == {"f23a65f": "two"}


def test_what_is_queued_for_another_commit_does_not_count(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    old = git("rev-parse", "HEAD")
    for name in ("one", "two"):
        workspace.commit(name)  # stands for what DVC stashes: a commit whose parent it belongs to
    status = STATUS.replace("fab52ee", git("rev-parse", "HEAD~1"))
    status = status.replace("f23a65f", git("rev-parse", "HEAD"))
    monkeypatch.setattr(queue, "dvc", lambda *_: status.format(1))
    workspace.run("git", "checkout", "--quiet", "--detach", old)
    assert queue._queued() == ({"one"}, True)  # noqa: SLF001


@pytest.fixture
def instant(fresh: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Workspace:
    """A repository in which the queue is up to the test, and nothing takes time."""
    copy = fresh.copy(tmp_path / "repository")
    monkeypatch.chdir(copy.root)
    monkeypatch.setattr(queue, "LOOK", 0)
    monkeypatch.setattr(queue, "_queue", lambda *_: None)
    monkeypatch.setattr(queue, "_start", lambda _: None)
    return copy


def test_a_failure_is_reported_at_once_in_the_words_of_the_stage(
    instant: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head = instant.run("git", "rev-parse", "HEAD").stdout.strip()
    output = "Running stage 'train':\ntrain: no\nERROR: failed to reproduce 'train': x\n"
    monkeypatch.setattr(
        queue, "_queue", lambda *_: write_log("a", "mlp-best-seed-0", head, 4, output)
    )
    good = Made("default-seed-0", [0.5])
    found = iter([dict[str, Made](), dict[str, Made]()])  # before, and at the first look
    monkeypatch.setattr(results, "finished", lambda: next(found, {good.name: good}))
    with pytest.raises(TrainingError) as error:
        batch.over_seeds(["default", "mlp-best"], [0], IN_THE_QUEUE)
    assert str(error.value) == (
        "mlp-best-seed-0: failed: train: no; its output: dvc queue logs mlp-best-seed-0"
    )
    assert capsys.readouterr().out.splitlines() == [
        "failed  mlp-best-seed-0",
        "0/2 done, 1 failed, waiting for a worker",
        "done  default-seed-0  50.00% on the test images",
    ]


@pytest.mark.usefixtures("instant")
def test_ctrl_c_while_it_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "experiments.queue.time.sleep", lambda _: signal.raise_signal(signal.SIGINT)
    )
    with pytest.raises(KeyboardInterrupt):
        batch.over_seeds(["default"], [0], IN_THE_QUEUE)
    assert capsys.readouterr().err == (
        "DVC's queue goes on: run this again to watch it, dvc queue stop --kill to end it,\n"
        "and then dvc queue remove --queued to drop what it had not begun\n"
    )


def test_ctrl_c_does_not_interrupt_dvc_while_it_queues(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands, usual = [], subprocess.run

    def run(command: tuple[str, ...], **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        if "exp" not in command:
            return usual(command, **options)
        signal.raise_signal(signal.SIGINT)  # which then hits a process of another session
        commands.append((command[-1], options["start_new_session"]))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.chdir(fresh.root)
    monkeypatch.setattr(queue, "_queued", lambda: ({"default-seed-0"}, False))
    monkeypatch.setattr("experiments.queue.subprocess.run", run)
    with pytest.raises(KeyboardInterrupt):
        batch.over_seeds(["default"], [0, 1, 2], IN_THE_QUEUE)
    assert commands == [("train.seed=1", True)]
    assert capsys.readouterr().err == (
        "1 of 2 were queued: run this again to go on, or dvc queue remove --queued to stop\n"
    )


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_no_experiments_are_too_few(text: str, start: Start) -> None:
    code, _, errors = start("experiments.ladder", "default", f"--seeds={text}")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"found {text}, expected a whole number of at least 1" in errors


STATES = ("Queued", "Running", "Success", "Failed")


def wait(workspace: Workspace) -> dict[str, str]:
    """The status of every experiment of the queue, when none is left to finish."""
    while True:
        lines = map(str.split, workspace.run("dvc", "queue", "status").stdout.splitlines())
        status = {words[1]: words[-1] for words in lines if words and words[-1] in STATES}
        if not {"Queued", "Running"} & set(status.values()):
            return status
        if "Queued" in status.values():  # the worker of before may have been about to end
            workspace.run("dvc", "queue", "start", "--jobs", "2")


@pytest.mark.nightly
@QUEUED
def test_a_sweep_goes_on_after_what_is_refused(workspace: Workspace) -> None:
    sweep = ("--set-param", "train.learning_rate=1e-4,-1,1e-2", "--set-param", "train.epochs=8")
    widths = ("--set-param", "model.mlp.hidden_units=[16],[256]")
    workspace.run("dvc", "exp", "run", "--queue", "--name", "sweep", *sweep, *widths)
    workspace.run("dvc", "queue", "start", "--jobs", "2")
    status = wait(workspace)
    assert status == {
        f"sweep-{number}": "Failed" if number in (3, 4) else "Success" for number in range(1, 7)
    }
    assert (
        "train.learning_rate: found -1" in workspace.run("dvc", "queue", "logs", "sweep-3").stdout
    )

    side_by_side = workspace.run("python", "-m", "experiments.compare").stdout.splitlines()
    assert side_by_side[1].split()[4:] == ["units", "epochs", "rate"]
    assert max(map(len, side_by_side)) <= 80
    assert {line.split()[0] for line in side_by_side[2:]} == {
        "(committed)",
        *(name for name in status if status[name] == "Success"),
    }
    named = workspace.run("python", "-m", "experiments.best").stdout
    shown = workspace.run("dvc", "exp", "show", "--json").stdout
    (experiments,) = [row["experiments"] for row in json.loads(shown) if row["experiments"]]
    finals = {
        one["revs"][0]["name"]: one["revs"][0]["data"]["metrics"]["metrics/train.json"]["data"][
            "final"
        ]["val_accuracy"]
        for one in experiments
        if status.get(one["revs"][0]["name"]) == "Success"  # of the others it shows the baseline's
    }
    first = min(name for name, value in finals.items() if value == max(finals.values()))
    assert named.endswith(f"dvc exp apply {first}\n")
    workspace.run("dvc", "exp", "apply", first)
    assert f"{finals[first]}" in (workspace.root / "metrics/history.csv").read_text()

    # The same points once more: the run-cache has them all.
    workspace.run("dvc", "exp", "remove", "--all-commits")
    workspace.run("git", "restore", ".")
    workspace.run("dvc", "exp", "run", "--queue", "--name", "again", *widths)
    workspace.run("dvc", "exp", "run", "--queue", "--name", "same", *widths)
    workspace.run("dvc", "queue", "start")
    wait(workspace)
    log = workspace.run("dvc", "queue", "logs", "same-1").stdout
    assert "Stage 'train' is cached" in log


@pytest.mark.nightly
@QUEUED
def test_the_lesson_and_the_ladder(workspace: Workspace) -> None:
    shorter = workspace.root / "experiments/sets.yaml"
    shorter.write_text(re.sub(r"epochs: \d\d", "epochs: 2", shorter.read_text()))
    workspace.commit("Shorter")
    result = workspace.run("python", "-m", "experiments.lesson", "--seeds", "1", "--jobs", "2")
    rows = re.findall(r"^\| `lesson-.*", result.stdout, re.MULTILINE)
    assert len(rows) == 11
    assert all(row in (workspace.root / "docs/lesson.md").read_text() for row in rows)
    assert "\r" not in result.stdout
    assert re.search(r"^\d+/11 done, .* epoch \d/2", result.stdout, re.MULTILINE)
    assert result.stdout.count("% on the test images\n") == 11
    again = workspace.run("python", "-m", "experiments.lesson", "--seeds", "1")
    assert "queue" not in again.stdout
    assert all(row in again.stdout for row in rows)

    result = workspace.run("python", "-m", "experiments.ladder", "cnn-small", "--seeds", "2")
    accuracies = [
        json.loads(workspace.run("git", "show", f"{commit}:metrics/evaluate.json").stdout)[
            "accuracy"
        ]
        for commit in workspace.run(
            "git", "for-each-ref", "--format=%(objectname)", "refs/exps/*/*/cnn-small-*"
        ).stdout.split()
    ]
    assert f"| {percent(accuracies)} | 2 |" in result.stdout


@pytest.mark.nightly
@QUEUED
def test_a_sweep_and_a_search(workspace: Workspace) -> None:
    grid = "train.seed=1,2 model.mlp.hidden_units=[8],[16]"
    sweep = workspace.run("python", "-m", "experiments.sweep", grid, "--jobs", "2").stdout
    done = re.findall(r"^done  (\S+)  \d+", sweep, re.MULTILINE)
    assert sorted(done) == [
        f"sweep-train.seed-{seed}-mlp.hidden_units-{units}" for seed in (1, 2) for units in (16, 8)
    ]
    again = workspace.run("python", "-m", "experiments.sweep", grid).stdout
    assert again == "4 experiments; make compare shows them, make best names the best\n"

    space = "train.learning_rate=log:1e-4..1e-2 model.name=mlp,cnn"
    search = ("experiments.search", space, "--trials")
    first = workspace.run("python", "-m", *search, "2").stdout
    assert len(re.findall(r"^done  search-\w{6}-[12] ", first, re.MULTILINE)) == 2
    more = workspace.run("python", "-m", *search, "3").stdout
    assert re.findall(r"^done  search-\w{6}-(\d) ", more, re.MULTILINE) == ["3"]
    assert "\n3 trials\nto adopt the first one: dvc exp apply search-" in more
    best = re.findall(r"val_accuracy (\S+)", more)
    assert best == sorted(best, reverse=True)


@pytest.mark.nightly
@QUEUED
def test_one_after_the_other_in_this_folder(workspace: Workspace) -> None:
    shorter = workspace.root / "experiments/sets.yaml"
    shorter.write_text(re.sub(r"epochs: \d\d", "epochs: 2", shorter.read_text()))
    for name, layers in (("cnn-small", [8, 24, 44]), ("lesson-deeper-16-16", [16, 16])):
        workspace.run("python", "-m", "experiments.run", name, "--seed", "3")
        found = params.load(workspace.root / "params.yaml")
        assert layers in found.model.settings.model_dump().values()
        assert found.train.seed == 3
        assert found.dataset.name == "digits"


@pytest.mark.nightly
@QUEUED
def test_ctrl_c_leaves_the_folder_on_its_branch(workspace: Workspace) -> None:
    with subprocess.Popen(
        ("python", "-m", "experiments.run", "cnn-small"),
        cwd=workspace.root,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as program:
        assert program.stdout
        assert any("weights" in line for line in program.stdout)  # the network is being trained
        os.killpg(program.pid, signal.SIGINT)
        program.stdout.read()
    assert program.returncode == 255  # that of DVC
    assert workspace.run("git", "branch", "--show-current").stdout == "main\n"

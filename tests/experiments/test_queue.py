"""DVC's queue, and what is read from what it prints."""

import json
import re

import pytest

from experiments import queue
from experiments.spread import percent
from pipeline import params
from pipeline.errors import InputError
from tests.experiments.support import Made
from tests.support import Workspace

QUEUED = pytest.mark.long("experiments", "pipeline/params.py", "dvc.yaml")

LOG = """mlp: 10 weights
epoch  9/11  accuracy 0.9  val_loss 0.1  1.5 s
epoch 10/11  accuracy 0.9  val_loss 0.1  10.0 s
epoch 11/11  accuracy 0.9  val_loss 0.1  0.5 s
Updating lock file 'dvc.lock'
"""


def test_seconds_of_a_whole_training() -> None:
    assert queue.training_seconds(LOG.replace("/11", "/3")) == 12.0
    assert queue.training_seconds(LOG) is None  # it went on from the eighth epoch
    assert queue.training_seconds("Stage 'train' is cached") is None


def test_an_experiment_of_this_name_with_other_parameters(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(fresh.root)
    monkeypatch.setattr(queue, "dvc", lambda *_: "")  # an empty queue
    there = Made("default-seed-0", [0.5])
    monkeypatch.setattr(queue, "finished", lambda: {there.name: there})
    with pytest.raises(InputError) as error:
        queue.run_all(["default"], [0], jobs=1)
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
    assert queue.waiting(STATUS.format(1)) == {"one", "two"}
    assert queue.waiting(STATUS.format(0)) == {"two"}


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
    sweep = ("--set-param", "train.learning_rate=1e-4,-1,1e-2")
    widths = ("--set-param", "model.mlp.hidden_units=[16],[32]")
    workspace.run("dvc", "exp", "run", "--queue", "--name", "sweep", *sweep, *widths)
    workspace.run("dvc", "queue", "start", "--jobs", "2")
    status = wait(workspace)
    assert status == {
        f"sweep-{number}": "Failed" if number in (3, 4) else "Success" for number in range(1, 7)
    }
    assert (
        "train.learning_rate: found -1" in workspace.run("dvc", "queue", "logs", "sweep-3").stdout
    )

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
def test_one_after_the_other_in_this_folder(workspace: Workspace) -> None:
    shorter = workspace.root / "experiments/sets.yaml"
    shorter.write_text(re.sub(r"epochs: \d\d", "epochs: 2", shorter.read_text()))
    for name, layers in (("cnn-small", [8, 24, 44]), ("lesson-deeper-16-16", [16, 16])):
        workspace.run("python", "-m", "experiments.run", name, "--seed", "3")
        found = params.load(workspace.root / "params.yaml")
        assert layers in found.model.settings.model_dump().values()
        assert found.train.seed == 3
        assert found.dataset.name == "digits"

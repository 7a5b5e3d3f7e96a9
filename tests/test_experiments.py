"""Named sets of parameters, DVC's queue, and what is said of many runs."""

import json
import re
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from experiments import best, ladder, lesson, queue, sets
from experiments.spread import percent
from pipeline import params, paths
from pipeline.errors import InputError
from pipeline.revision import Revision
from tests.conftest import Workspace


@pytest.mark.parametrize("name", sets.load())
def test_a_set_is_allowed(name: str, tmp_path: Path) -> None:
    content = yaml.safe_load(paths.PARAMS.read_text())
    for key, value in sets.named(name).items():
        section, key_there = key.split(".")
        assert key_there in content[section], key
        content[section][key_there] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    params.load(path)


def test_an_unknown_set(workspace: Workspace) -> None:
    result = workspace.run("python", "-m", "experiments.run", "cnn-smal", check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "'cnn-smal': no such experiment; did you mean cnn-small? There are def" in result.stderr


@pytest.mark.parametrize("content", ["- default", "default: 3", "default: [3]"])
def test_sets_that_are_none(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sets.yaml"
    path.write_text(content)
    monkeypatch.setattr(sets, "SETS", path)
    with pytest.raises(InputError, match=r"sets.yaml: expected names of sets"):
        sets.load()


def test_what_an_experiment_of_before_left_is_undone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    assert sets.changes(sets.settings("default", 0)) == []
    workspace.set("model.hidden_units", "[8]")
    workspace.set("train.optimizer", "sgd")
    assert sets.changes(sets.settings("default", 7)) == [
        *("--set-param", "model.hidden_units=[512]"),
        *("--set-param", "train.optimizer=adam"),
        *("--set-param", "train.seed=7"),
    ]


def test_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(paths.PARAMS.read_text())
    for name in ("cnn-small", "lesson-deeper-16-16", "cnn-best", "cnn-small", "mlp-best"):
        wanted = sets.settings(name, 3)
        with monkeypatch.context() as here:
            here.setattr(paths, "PARAMS", path)
            changes = sets.changes(wanted)
        apply_overrides(path, changes[1::2])  # as `dvc exp run --set-param` does
        assert sets.flat(path.read_bytes(), "params.yaml") == wanted
        params.load(path)


@pytest.mark.long
def test_one_after_the_other_in_this_folder(workspace: Workspace) -> None:
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Reproduced")
    shorter = workspace.root / "experiments/sets.yaml"
    shorter.write_text(re.sub(r"epochs: \d\d", "epochs: 2", shorter.read_text()))
    for name, layers in (
        ("cnn-small", ([8, 24, 44], [])),
        ("lesson-deeper-16-16", ([], [16, 16])),
    ):
        workspace.run("python", "-m", "experiments.run", name, "--seed", "3")
        found = params.load(workspace.root / "params.yaml")
        assert (found.model.filters, found.model.hidden_units) == layers
        assert found.train.seed == 3
        assert found.dataset.name == "digits"


def test_mean_and_deviation() -> None:
    assert percent([0.5, 0.75, 1.0]) == "75.00 ± 25.00"  # of a sample: √(2 · 0.25² / 2)
    assert percent([0.98125]) == "98.12"


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


STATUS = """Task     Name    Created    Status
fab52ee  one     12:43 PM   Running
f23a65f  two     12:43 PM   Queued
a6cedd6  three   12:43 PM   Success

Worker status: {} active, 0 idle
"""


def test_what_a_killed_worker_had_is_not_waited_for() -> None:
    assert queue.waiting(STATUS.format(1)) == {"one", "two"}
    assert queue.waiting(STATUS.format(0)) == {"two"}


class Made(queue.Run):
    """A run with results that are given."""

    def __init__(self, name: str, values: list[float], **images: object) -> None:
        super().__init__(name, Revision(name, name))
        given = {"dataset": "mnist", "validation": 0.1, "seed": 0} | images
        files = {
            paths.PARAMS: yaml.safe_dump(
                {"dataset": {"name": given.pop("dataset")}, "preprocess": given}
            ),
            paths.HISTORY: "epoch,val_accuracy,val_loss\n"
            + "".join(f"{epoch},{value},{1 - value}\n" for epoch, value in enumerate(values, 1)),
            paths.EVALUATE_METRICS: json.dumps({"accuracy": values[-1]}),
            paths.TRAIN_METRICS: json.dumps({"weights": 1234}),
        }
        object.__setattr__(self, "revision", Files(files))

    def seconds(self) -> float | None:
        return 3.0 if "b" in self.name else None


class Files:
    def __init__(self, content: dict[Path, str]) -> None:
        self.content = content

    def read(self, path: Path) -> bytes:
        return self.content[path].encode()


IMAGES: sets.Flat = {"dataset.name": "mnist", "preprocess.validation": 0.1, "preprocess.seed": 0}


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_the_best_is_the_best_on_the_same_validation_images(metric: str) -> None:
    runs = [
        Made("last counts", [0.99, 0.5]),
        Made("second", [0.75]),
        Made("first", [0.1, 0.875]),
        Made("also first", [0.875]),
        Made("on the test images", [1.0], validation="test"),
        Made("on other ones", [1.0], seed=1),
        Made("on another dataset", [1.0], dataset="digits"),
    ]
    found = [run.name for _, run in best.ranked(runs, metric, IMAGES)]
    assert found == ["also first", "first", "second", "last counts"]


def test_a_row_of_the_ladder() -> None:
    assert ladder.row("b", [Made("b", [0.5]), Made("a", [0.75]), Made("ab", [1.0])]) == (
        "| `b` | 1,234 | 75.00 ± 25.00 | 3 | 3 |"
    )
    assert ladder.row("a", [Made("a", [0.5])]).endswith("| 50.00 | 1 | from the cache |")


def test_a_row_of_the_lesson() -> None:
    histories = [
        {"accuracy": [0.5, 0.6, 0.7], "val_accuracy": [0.1, 0.2, 0.5]},
        {"accuracy": [0.6, 0.6, 0.7], "val_accuracy": [0.1, 0.2, 0.52]},
    ]
    assert lesson.row("lesson-16-neurons", 1234, histories) == (
        "| `lesson-16-neurons` | 1,234 | 55.00 ± 7.07 | 60.00 ± 0.00 | 70.00 ± 0.00 "
        "| 51.00 ± 1.41 |  |  | training 92, slowly 95 |"
    )


def test_the_table_takes_the_place_of_the_old_one() -> None:
    page = f"before\n{lesson.BEGIN}{lesson.END}after\n"
    once = lesson.embed(page, "| 1 |\n| 2 |")
    assert once == f"before\n{lesson.BEGIN}| 1 |\n| 2 |\n{lesson.END}after\n"
    assert lesson.embed(once, "| 3 |") == f"before\n{lesson.BEGIN}| 3 |\n{lesson.END}after\n"
    with pytest.raises(InputError, match="expected the marks"):
        lesson.embed("before\n", "")


def test_every_set_of_the_lesson_is_in_the_picture_and_the_page() -> None:
    names = [name for name in sets.load() if name.startswith(lesson.PREFIX)]
    assert lesson.SAYS.keys() <= set(names)
    history = {"accuracy": [0.9, 0.95], "val_accuracy": [0.9, 0.91]}
    figure = lesson.curves({name: [history, history] for name in names})
    drawn = {line.get_label() for axes in figure.axes for line in axes.get_lines()}
    assert drawn == {name.removeprefix(lesson.PREFIX) for name in names}
    lesson.embed(lesson.PAGE.read_text(), "")


def test_an_experiment_of_this_name_with_other_parameters(workspace: Workspace) -> None:
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Reproduced")
    workspace.set("evaluate.mistakes", "3")
    workspace.run("dvc", "exp", "save", "--name", "default-seed-0")
    result = workspace.run("python", "-m", "experiments.ladder", "default", check=False)
    assert result.returncode == 2
    assert result.stderr == (
        "ladder: default-seed-0: is there with evaluate.mistakes 3, expected 25; "
        "take it away: dvc exp remove default-seed-0\n"
    )


def test_no_best_of_none(workspace: Workspace) -> None:
    result = workspace.run("python", "-m", "experiments.best", check=False)
    assert result.returncode == 2
    assert "best: no experiment of this commit is on the same images" in result.stderr
    workspace.set("preprocess.validation", "test")
    result = workspace.run("python", "-m", "experiments.best", check=False)
    assert "the test images choose nothing" in result.stderr


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


@pytest.mark.long
def test_a_sweep_goes_on_after_what_is_refused(workspace: Workspace) -> None:
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Reproduced")
    sweep = ("--set-param", "train.learning_rate=1e-4,-1,1e-2")
    widths = ("--set-param", "model.hidden_units=[16],[32]")
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


@pytest.mark.long
def test_the_lesson_and_the_ladder(workspace: Workspace) -> None:
    shorter = workspace.root / "experiments/sets.yaml"
    shorter.write_text(re.sub(r"epochs: \d\d", "epochs: 2", shorter.read_text()))
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Reproduced")
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


@pytest.mark.long
def test_seeds_for_the_gate(workspace: Workspace) -> None:
    workspace.set("gate.floor", "0.5")
    workspace.set("gate.margin_seeds", "0.5")
    refused = workspace.run("python", "-m", "experiments.seeds", "--seeds", "2", check=False)
    assert refused.returncode == 2
    assert "is not as in the last commit; git commit it, or restore it" in refused.stderr
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Baseline")
    made = workspace.run("python", "-m", "experiments.seeds", "--seeds", "2").stdout
    assert made.endswith(" % over 2 seeds\nmetrics/seeds.json\n")
    workspace.run("git", "add", "--all")
    workspace.run("git", "commit", "--quiet", "--message", "Two seeds")

    workspace.set("gate.seeds", "2")
    workspace.set("train.learning_rate", "0.002")
    workspace.repro()
    judge = ("python", "-m", "pipeline.gate", "--baseline", "HEAD")
    stale = workspace.run(*judge, check=False)
    assert stale.returncode == 2
    assert "metrics/seeds.json: stale" in stale.stderr
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Changed")
    workspace.run("python", "-m", "experiments.seeds")
    accepted = workspace.run("python", "-m", "pipeline.gate", "--baseline", "HEAD~1")
    assert "mean accuracy over seeds" in accepted.stdout

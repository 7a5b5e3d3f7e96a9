"""The workflows of .github: what they may do, and their own shell steps, job by job.

A test lends each job what GitHub would: an empty folder, clones, the artifacts of other jobs. In
place of `make setup`, which needs a network, it gets an environment with the packages of this one.
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline import paths
from pipeline.artifacts import json_bytes
from pipeline.lock import md5
from pipeline.records import Predictions, predictions_bytes, read_predictions
from pipeline.score import agreement
from tests.support import Workspace

FOLDER = Path(".github/workflows")
FILES = sorted(FOLDER.glob("*.yml"))
PLAYED = (".ci/gate", ".github", "pipeline/gate", "pipeline/report.py", "pipeline/repository.py")
CLASSES = tuple("0123456789")
REPRODUCED = ("dvc.lock", "metrics", "data/processed/test")


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506, `on` is no bool
    return content


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.stem}.{name}", job) for path in FILES for name, job in load(path)["jobs"].items()
    ]


def steps(name: str) -> dict[str, str]:
    """The shell steps of a job, by name, in order."""
    return {step["name"]: step["run"] for step in dict(jobs())[name]["steps"] if "run" in step}


def test_nothing_is_allowed_that_is_not_needed() -> None:
    for path in FILES:
        content = load(path)
        assert content["permissions"] == {}
        assert "pull_changetarget" not in content["on"]
        assert "group" in content["concurrency"]
    allowed = {name: job["permissions"] for name, job in jobs()}
    may_write = {"comment.comment": {"actions": "read", "pull-requests": "write"}}
    assert allowed == {name: {"contents": "read"} for name in allowed} | may_write


def test_actions_are_pinned_and_keep_no_credentials() -> None:
    for _, job in jobs():
        assert int(job["timeout-minutes"]) <= 120
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] == "false"


def test_no_step_pastes_an_expression_into_a_shell() -> None:
    assert [run for name, _ in jobs() for run in steps(name).values() if "${{" in run] == []


def test_what_may_write_runs_nothing_of_a_pull_request() -> None:
    assert [step for step in dict(jobs())["comment.comment"]["steps"] if "uses" in step] == []


def test_the_gate_takes_nothing_from_the_change_but_a_clone_and_data() -> None:
    (kept,) = [step for step in dict(jobs())["ci.reproduce"]["steps"] if "path" in with_of(step)]
    assert with_of(kept)["path"].split() == [*REPRODUCED]
    for step in dict(jobs())["ci.gate"]["steps"]:
        assert "cache" not in with_of(step)
    assert dict(jobs())["ci.gate"]["if"] == "${{ !cancelled() }}"  # skipped would pass


def with_of(step: dict[str, Any]) -> dict[str, str]:
    return dict(step.get("with", {}))


def test_on_main_every_push_is_judged() -> None:
    concurrency = load(FOLDER / "ci.yml")["concurrency"]
    assert concurrency["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    assert concurrency["group"].endswith("github.ref || github.sha }}")


def test_what_takes_long_is_run_by_ci() -> None:
    ran = Path(".ci/run").read_text()
    for job in ("ci.test", "nightly.verify"):
        for run in steps(job).values():
            assert run == "make setup" or run in ran
    assert "make check" in ran


def test_gitlab_runs_the_same() -> None:
    gitlab = yaml.safe_load(Path(".gitlab-ci.yml").read_text())
    for name in ("test", "reproduce", "gate"):
        words = " ".join(gitlab[name]["script"])
        for run in steps(f"ci.{name}").values():
            for command in re.findall(r"(make [\w -]+|dvc repro --force|base/.ci/gate)", run):
                assert command in words
    assert gitlab["reproduce"]["artifacts"]["paths"] == [*REPRODUCED]
    assert gitlab["gate"]["variables"] == {"GIT_STRATEGY": "none"}


@dataclass
class Ended:
    """How a job ended: the step that failed, or the last one, its code, and what all printed."""

    step: str
    code: int
    output: str


class Runner:
    """A fresh machine of GitHub's, on which the shell steps of one job are run."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.work = folder / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.files = {name: folder / name for name in ("GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        self.environment = environment | {name: str(file) for name, file in self.files.items()}

    def play(
        self, job: str, inputs: dict[str, str], instead: dict[str, Callable[[], Any]]
    ) -> Ended:
        """Runs a job of ci.yml.

        Args:
            job: its name.
            inputs: values of the expressions in the `env` of its steps.
            instead: what to do in place of a step, by its name, or else its action.
        """
        printed, failed, last = "", 0, ""
        for step in dict(jobs())[f"ci.{job}"]["steps"]:
            name = step.get("name") or step["uses"].partition("@")[0]
            if failed and step.get("if") != "${{ !cancelled() }}":
                continue
            if name in instead:
                instead[name]()
            elif "run" in step:
                code, output = self.run(
                    step["run"], {key: inputs[key] for key in step.get("env", {})}
                )
                printed += output
                last = last if failed else name
                failed = failed or code
        return Ended(last, failed, printed)

    def run(self, script: str, variables: dict[str, str]) -> tuple[int, str]:
        """Runs a script as a step: its exit code, and what it printed."""
        done = subprocess.run(
            ("bash", "-e", "-c", script),
            cwd=self.work,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        given = self.files["GITHUB_ENV"]
        for line in given.read_text().splitlines() if given.exists() else ():
            name, _, value = line.partition("=")
            self.environment[name] = value
        return done.returncode, done.stdout

    def read(self, name: str) -> str:
        """What the job left in a file, empty if there is none."""
        file = self.work / name
        return file.read_text() if file.exists() else ""


def set_up(project: Path) -> None:
    """A virtual environment in `project` with the packages of this one."""
    venv.create(project / ".venv", symlinks=True)
    (site,) = (project / ".venv/lib").glob("python*/site-packages")
    (site / "packages.pth").write_text(sysconfig.get_path("purelib"))
    script = Path(sys.executable).with_name("dvc").read_text().partition("\n")[2]
    program = project / ".venv/bin/dvc"
    program.write_text(f"#!{project}/.venv/bin/python\n{script}")
    program.chmod(0o755)


def reproduce(origin: Workspace, folder: Path) -> tuple[Runner, Path]:
    """Runs the job `reproduce` on the branch `change`: its machine, the folder of its artifact."""
    runner, artifact = Runner(folder, origin.environment()), folder / "artifact"

    def checkout() -> None:
        origin.run(
            "git", "clone", "--quiet", "--branch", "change", str(origin.root), str(runner.work)
        )

    def keep() -> None:
        for name in REPRODUCED:
            copy = shutil.copytree if (runner.work / name).is_dir() else shutil.copy
            (artifact / name).parent.mkdir(parents=True, exist_ok=True)
            copy(runner.work / name, artifact / name)

    instead = {
        "actions/checkout": checkout,
        "Set up": lambda: set_up(runner.work),
        "Keep what came out": keep,
    }
    ended = runner.play("reproduce", {}, instead)
    assert (ended.step, ended.code) == ("Reproduce", 0), ended.output
    return runner, artifact


@dataclass
class PullRequest:
    """A branch `change` of a repository with its results, and what its code made of it in CI."""

    origin: Workspace
    artifact: Path

    def judge(
        self, folder: Path, *, before: str = "", reproduced: str = "success"
    ) -> tuple[Runner, Ended]:
        """Runs the job `gate` for a pull request, or for a push to main after `before`."""
        runner = Runner(folder, self.origin.environment())
        change = runner.work / "change"

        def checkout() -> None:
            shutil.rmtree(change, ignore_errors=True)  # as the action does
            self.origin.run(
                "git", "clone", "--quiet", "--branch", "main", str(self.origin.root), str(change)
            )
            if not before:
                git = ("git", "-C", str(change))
                self.origin.run(*git, "switch", "--quiet", "--detach")
                self.origin.run(*git, "merge", "--quiet", "--no-ff", "origin/change")

        instead = {
            "actions/checkout": checkout,
            "Set up the base": lambda: set_up(runner.work / "base"),
            "What came out": lambda: shutil.copytree(
                self.artifact, runner.work / "reproduced", symlinks=True
            ),
        }
        inputs = {"TEST": "success", "REPRODUCE": reproduced, "BASE": before or "HEAD^1"}
        return runner, runner.play("gate", inputs, instead)


@pytest.fixture(scope="module")
def honest(reproduced: Workspace, tmp_path_factory: pytest.TempPathFactory) -> PullRequest:
    """A pull request with another seed. Not to be changed."""
    folder = tmp_path_factory.mktemp("honest")
    origin = reproduced.copy(folder / "origin")
    origin.set("gate.floor", 0.5)
    origin.set("gate.margin", 0.05)  # 360 images tell no finer
    origin.commit("Base")
    origin.run("git", "switch", "--quiet", "--create", "change")
    origin.set("train.seed", 1)
    origin.repro()
    origin.commit("Another seed")
    return PullRequest(origin, reproduce(origin, folder)[1])


@pytest.fixture
def change(honest: PullRequest, tmp_path: Path) -> PullRequest:
    """The same to change; the branch is checked out."""
    artifact = shutil.copytree(honest.artifact, tmp_path / "artifact")
    return PullRequest(honest.origin.copy(tmp_path / "origin"), artifact)


def forge(folder: Path, wrong: int) -> None:
    """Writes results to `folder` that misjudge the first `wrong` test images and no other."""
    labels = read_predictions((folder / paths.PREDICTIONS).read_bytes(), "", CLASSES).labels
    predicted = np.where(np.arange(len(labels)) < wrong, (labels + 1) % len(CLASSES), labels)
    predictions = Predictions(labels, predicted, np.full(len(labels), 0.9))
    metrics = json.loads((folder / paths.EVALUATE_METRICS).read_bytes())
    write(folder, paths.PREDICTIONS, predictions_bytes(predictions, CLASSES))
    write(folder, paths.EVALUATE_METRICS, json_bytes(metrics | agreement(predictions, CLASSES)))


def write(folder: Path, path: Path, content: bytes) -> None:
    """Replaces an output, with its digest in dvc.lock."""
    lock = (folder / paths.LOCK).read_text()
    lock = lock.replace(md5((folder / path).read_bytes()), md5(content))
    (folder / paths.LOCK).write_text(lock)
    (folder / path).write_bytes(content)


@pytest.mark.long(*PLAYED)
def test_a_good_change_passes(honest: PullRequest, tmp_path: Path) -> None:
    for _ in range(2):  # a machine that keeps what was there
        runner, ended = honest.judge(tmp_path / "gate")
        assert (ended.step, ended.code) == ("Summary", 0), ended.output
        assert ended.output.count("gate: ACCEPT, compared with baseline ") == 2
        assert runner.read("gate.txt").startswith("gate: ACCEPT, compared with baseline ")
        assert json.loads(runner.read("gate.json"))["exit_code"] == 0
        page = runner.read("report.html")
        assert "compared with" in page
        assert "data:image/png" in page
    summary = runner.files["GITHUB_STEP_SUMMARY"].read_text()
    assert summary.startswith("### Gate: ACCEPT, compared with ")
    assert [*runner.work.glob("*.tmp")] == []


@pytest.mark.long(*PLAYED)
def test_a_first_push_is_judged_by_the_floors_alone(honest: PullRequest, tmp_path: Path) -> None:
    origin = honest.origin.copy(tmp_path / "origin")
    origin.run("git", "checkout", "--quiet", "--orphan", "first")
    origin.commit("First")
    origin.run("git", "branch", "--quiet", "--force", "main", "first")
    pushed = PullRequest(origin, honest.artifact)
    runner, ended = pushed.judge(tmp_path / "gate", before="0" * 40)
    assert (ended.step, ended.code) == ("Summary", 0), ended.output
    assert "gate: UNGATED, ACCEPT by the floors alone" in ended.output
    assert "fatal" not in ended.output
    assert runner.read("report.html")


@pytest.mark.long(*PLAYED)
def test_a_push_is_judged_by_what_was_there_before(honest: PullRequest, tmp_path: Path) -> None:
    origin = honest.origin.copy(tmp_path / "origin")
    before = origin.run("git", "rev-parse", "main").stdout.strip()
    origin.run("git", "branch", "--quiet", "--force", "main", "change")
    _, ended = PullRequest(origin, honest.artifact).judge(tmp_path / "gate", before=before)
    assert ended.code == 0, ended.output
    assert f"compared with baseline {before[:7]}" in ended.output


@pytest.mark.long(*PLAYED)
def test_no_verdict_where_a_job_before_failed(honest: PullRequest, tmp_path: Path) -> None:
    runner, ended = honest.judge(tmp_path / "gate")
    assert ended.code == 0, ended.output
    runner, ended = honest.judge(tmp_path / "gate", reproduced="failure")
    assert (ended.step, ended.code) == ("The jobs before", 1)
    assert ended.output == "test: success, reproduce: failure\n"
    assert runner.read("gate.txt") == runner.read("gate.md") == ""


def _commit_forged(change: PullRequest, _harm: str) -> None:
    forge(change.origin.root, wrong=0)
    forge(change.artifact, wrong=150)


def _gate_and_limits(change: PullRequest, _harm: str) -> None:
    change.origin.set("gate.floor", 0.0)
    change.origin.set("gate.margin", 1.0)
    (change.origin.root / "pipeline/gate/__main__.py").write_text("print('gate: ACCEPT')\n")
    for folder in (change.origin.root, change.artifact):
        forge(folder, wrong=200)


def _frozen(change: PullRequest, _harm: str) -> None:
    forge(change.origin.root, wrong=0)
    change.origin.edit("dvc.yaml", "  evaluate:\n", "  evaluate:\n    frozen: true\n")


def _no_stages(change: PullRequest, _harm: str) -> None:
    forge(change.origin.root, wrong=0)
    (change.origin.root / "dvc.yaml").write_text("stages: {}\n")


def _stale(change: PullRequest, _harm: str) -> None:
    change.origin.set("train.epochs", 3)


def _edited_metrics(change: PullRequest, _harm: str) -> None:
    change.origin.edit("metrics/evaluate.json", '"accuracy": 0.', '"accuracy": 0.9')


def _edited_code(change: PullRequest, _harm: str) -> None:
    change.origin.edit("pipeline/training/models.py", '"relu"', '"tanh"')


def _packages(change: PullRequest, harm: str) -> None:
    for name in ("dvc", "sitecustomize", "numpy", "json", "jinja2", "pipeline/gate/judge"):
        path = change.origin.root / f"{name}.py"
        path.write_text(f"open({harm!r}, 'w')\n")


def _site_cache(change: PullRequest, harm: str) -> None:
    config = change.origin.root / ".dvc/config"
    config.write_text(f"{config.read_text()}\n[core]\n    site_cache_dir = {harm}\n")


def _artifact(change: PullRequest, harm: str) -> None:
    for name in (".git/hooks/post-checkout", ".venv/bin/python", "pipeline/__init__.py"):
        path = change.artifact / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {harm}\n")
        path.chmod(0o755)
    (change.artifact / ".dvc").mkdir()
    (change.artifact / ".dvc/config").write_text(f"[core]\n    site_cache_dir = {harm}\n")


def _links(change: PullRequest, harm: str) -> None:
    data = change.origin.root / "data"
    shutil.rmtree(data)
    data.symlink_to(Path(harm).parent)  # data/processed would be made there
    (change.artifact / "data/processed").rename(change.artifact / "data/harm")
    (change.artifact / "data/processed").symlink_to("harm")


def _missing(change: PullRequest, _harm: str) -> None:
    shutil.rmtree(change.artifact / "metrics")


ATTACKS: dict[str, tuple[Callable[[PullRequest, str], None], int, str]] = {
    "perfect results forged and committed": (_commit_forged, 1, "gate: REJECT"),
    "a gate that accepts, and lower limits": (
        _gate_and_limits,
        1,
        "gate.margin is 1.0 here and 0.05 in the baseline; the stricter one applies",
    ),
    "a frozen stage": (_frozen, 2, "stage evaluate is frozen"),
    "no stages": (_no_stages, 2, "dvc.yaml: has no stage download"),
    "stale": (_stale, 2, "train in params.yaml has changed since the last run"),
    "metrics edited": (_edited_metrics, 2, "metrics/evaluate.json modified; run dvc repro"),
    "code edited": (_edited_code, 2, "pipeline/training/models.py has changed since the last run"),
    "packages beside the pipeline": (_packages, 0, "gate: ACCEPT"),
    "a cache of DVC's that is pickled": (_site_cache, 0, "gate: ACCEPT"),
    "programs in the artifact": (_artifact, 0, "gate: ACCEPT"),
    "symbolic links": (_links, 2, "data/processed/test: the change has a file above it"),
    "an artifact without results": (_missing, 2, "has no metrics, expected what dvc repro wrote"),
}


@pytest.mark.long(*PLAYED)
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_gate_is_not_talked_into_anything(
    attack: str, change: PullRequest, tmp_path: Path
) -> None:
    act, code, message = ATTACKS[attack]
    harm = tmp_path / "elsewhere/harm"
    harm.parent.mkdir()
    act(change, str(harm))
    change.origin.commit("Attack")
    runner, ended = change.judge(tmp_path / "gate")
    assert ended.code == code, ended.output
    assert message in ended.output
    assert [*harm.parent.iterdir()] == []
    if code:
        assert ended.step == "Gate"
        assert "ACCEPT" not in runner.read("gate.txt") + runner.read("gate.md")


LIVE_ATTACK = """
import os as _os, pathlib as _pathlib, sysconfig as _sysconfig
_harm = _pathlib.Path({harm!r})
_script = f"#!/bin/sh\\ntouch {{_harm}}/git\\n"
_harm.mkdir(exist_ok=True)
_pathlib.Path(".git/monitor").write_text(_script)
_pathlib.Path(".git/monitor").chmod(0o755)
with open(".git/config", "a") as _file:
    _file.write(f"[core]\\n fsmonitor = {{_os.getcwd()}}/.git/monitor\\n")
_site = _pathlib.Path(_sysconfig.get_path("purelib"))
(_site / "sitecustomize.py").write_text(f"open('{{_harm}}/python', 'w')\\n")
_shell = _harm.with_name("shell")
_shell.write_text(f"touch {{_harm}}/shell\\n")
with open(_os.environ["GITHUB_ENV"], "a") as _file:
    _file.write(f"BASH_ENV={{_shell}}\\n")
"""


@pytest.mark.long(*PLAYED)
def test_what_runs_in_one_job_has_no_hold_on_the_gate(change: PullRequest, tmp_path: Path) -> None:
    """The change makes its Python, its git and the shell of later steps run what it wants."""
    harm = tmp_path / "harm"
    with (change.origin.root / "pipeline/score.py").open("a") as file:
        file.write(LIVE_ATTACK.format(harm=str(harm)))
    forge(change.origin.root, wrong=200)
    change.origin.run("dvc", "commit", "--force", "--quiet")
    change.origin.commit("Attack")
    runner, artifact = reproduce(change.origin, tmp_path / "reproduce")
    for command in ("true", "git status", ".venv/bin/python -c ''"):
        runner.run(command, {})
    assert {path.name for path in harm.iterdir()} == {"git", "python", "shell"}
    shutil.rmtree(harm)
    harm.mkdir()
    _, ended = PullRequest(change.origin, artifact).judge(tmp_path / "gate")
    assert (ended.step, ended.code) == ("Gate", 1), ended.output
    assert "gate: REJECT" in ended.output
    assert [*harm.iterdir()] == []


GH = """#!{python}
import json, os, pathlib, sys
calls = pathlib.Path(os.environ["CALLS"])
arguments = sys.argv[1:]
body = pathlib.Path("comment.md").read_text() if "body=@comment.md" in arguments else None
calls.write_text(calls.read_text() + json.dumps([arguments, body]) + "\\n")
if arguments[:2] == ["run", "download"]:
    sys.exit(0 if pathlib.Path("gate").exists() else 1)
if arguments[-1].startswith("map("):
    print(os.environ["NUMBER"])
elif arguments[1] == "--paginate":
    print(os.environ["KNOWN"])
"""
TEXT = """gate: ACCEPT
![picture](http://example.test/a.png) [link](http://example.test) <img src=x>
``` \r@everyone <!-- gate --> \x1b[2J$(touch harm) `touch harm`
"""
SHOWN = """    gate: ACCEPT
    ![picture](http://example.test/a.png) [link](http://example.test) <img src=x>
    ``` @everyone <!-- gate --> [2J$(touch harm) `touch harm`
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [(TEXT, SHOWN), (None, "    gate: NO VERDICT, the run ended before the gate\n")],
    ids=["a verdict", "none"],
)
@pytest.mark.parametrize(
    ("number", "known", "written"),
    [("7", "", ["POST"]), ("7", "99", ["PATCH"]), ("", "", [])],
)
def test_one_comment_that_is_renewed(
    number: str, known: str, written: list[str], text: str | None, shown: str, tmp_path: Path
) -> None:
    program = tmp_path / "bin/gh"
    program.parent.mkdir()
    program.write_text(GH.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "calls").touch()
    if text:
        (tmp_path / "gate").mkdir()
        (tmp_path / "gate/gate.txt").write_text(text, newline="")
    (run,) = steps("comment.comment").values()
    subprocess.run(
        ("bash", "-e", "-c", run),
        cwd=tmp_path,
        env={
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "CALLS": str(tmp_path / "calls"),
            "NUMBER": number,
            "KNOWN": known,
            "REPOSITORY": "owner/name",
            "RUN": "12",
            "CONCLUSION": "failure",
            "HEAD_OWNER": "someone",
            "HEAD_BRANCH": "$(touch harm)",
            "HEAD_SHA": "0123456789abcdef",
        },
        check=True,
    )
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    changes = [call for call in calls if {"POST", "PATCH"} & set(call[0])]
    assert [call[0][2] for call in changes] == written
    assert not (tmp_path / "harm").exists()
    for arguments, body in changes:
        assert arguments[3].endswith("/comments/99" if known else "/issues/7/comments")
        assert body == (
            f"<!-- gate -->\n\n{shown}\n"
            f"Run 12 of 0123456: failure. The report is among its artifacts.\n"
        )

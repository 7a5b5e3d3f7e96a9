"""The workflows of .github: what they may do, and their own shell steps in a clone."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import Workspace

FOLDER = Path(".github/workflows")
FILES = sorted(FOLDER.glob("*.yml"))
ELSEWHERE = ("Set up", "Check", "Test")  # of .ci/run, which takes minutes


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506, `on` is no bool
    return content


def jobs() -> list[tuple[str, dict[str, Any]]]:
    return [(path.stem, job) for path in FILES for job in load(path)["jobs"].values()]


def steps(name: str) -> dict[str, str]:
    """The shell steps of the only job of a workflow, by name, in order."""
    (job,) = load(FOLDER / f"{name}.yml")["jobs"].values()
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step}


def test_nothing_is_allowed_that_is_not_needed() -> None:
    for path in FILES:
        content = load(path)
        assert content["permissions"] == {}
        assert "pull_request_target" not in content["on"]
        assert "group" in content["concurrency"]
    allowed = {name: job["permissions"] for name, job in jobs()}
    assert allowed == {
        "ci": {"contents": "read"},
        "comment": {"actions": "read", "pull-requests": "write"},
        "nightly": {"contents": "read"},
    }


def test_actions_are_pinned_and_keep_no_credentials() -> None:
    for _, job in jobs():
        assert int(job["timeout-minutes"]) <= 60
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] == "false"


def test_no_step_pastes_an_expression_into_a_shell() -> None:
    assert [run for path in FILES for run in steps(path.stem).values() if "${{" in run] == []


def test_what_may_write_runs_nothing_of_a_pull_request() -> None:
    (job,) = load(FOLDER / "comment.yml")["jobs"].values()
    assert [step for step in job["steps"] if "uses" in step] == []


def test_what_takes_long_is_run_by_ci() -> None:
    found = steps("ci")
    ran = Path(".ci/run").read_text()
    for name in ELSEWHERE:
        command = found[name].splitlines()[0]
        assert command == "make setup" or f"\n{command}\n" in ran
    assert "\nmake check\n" in ran
    assert steps("nightly") == {"Verify": "make verify"}
    assert "make verify" in ran


class Runner:
    """What GitHub lends a job: a clone, a folder, and files that carry variables along."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.root = workspace.root
        self.folder = folder
        self.environment = workspace.environment() | {
            "RUNNER_TEMP": str(folder),
            "GITHUB_ENV": str(folder / "env"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "BASE": "main",
        }

    def step(self, run: str) -> subprocess.CompletedProcess[str]:
        """One, as GitHub's runner starts it: `bash -e`."""
        result = subprocess.run(
            ("bash", "-e", "-c", run),
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        given = self.folder / "env"
        for line in given.read_text().splitlines() if given.exists() else ():
            name, value = line.split("=", 1)
            self.environment[name] = value
        return result

    def job(self) -> tuple[str, subprocess.CompletedProcess[str]]:
        """Runs the steps of ci.yml until one fails: the name of the last one, and its end."""
        for name, run in steps("ci").items():
            if name not in ELSEWHERE:
                result = self.step(run)
                if result.returncode:
                    break
        return name, result


@pytest.fixture
def runner(workspace: Workspace, tmp_path: Path) -> Runner:
    """A branch that trains otherwise, with its results committed, as a pull request has them."""
    workspace.set("gate.floor", "0.5")
    workspace.set("gate.margin", "0.05")  # 360 images tell no finer
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Base")
    workspace.run("git", "switch", "--quiet", "--create", "change")
    workspace.set("train.seed", "1")
    workspace.repro()
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Another seed")
    (tmp_path / "temp").mkdir()
    return Runner(workspace, tmp_path / "temp")


def worse(runner: Runner) -> None:
    """A change that learns less, and edits what would say so."""
    text = (runner.root / "params.yaml").read_text()
    text = text.replace("learning_rate: 0.001", "learning_rate: 0.00001").replace(
        "margin: 0.05", "margin: 1.0"
    )
    (runner.root / "params.yaml").write_text(text.replace("floor: 0.5", "floor: 0.0"))
    subprocess.run(("dvc", "repro"), cwd=runner.root, env=runner.environment, check=True)
    (runner.root / "pipeline/gate.py").write_text("print('gate: ACCEPT')\n")
    commit(runner, "Worse, and a gate that accepts it")


def commit(runner: Runner, message: str) -> None:
    for command in (("add", "--all"), ("commit", "--quiet", "--message", message)):
        subprocess.run(("git", *command), cwd=runner.root, env=runner.environment, check=True)


@pytest.mark.long
def test_a_good_change_passes(runner: Runner) -> None:
    name, last = runner.job()
    assert (name, last.returncode) == ("Summary", 0), last.stderr
    summary = (runner.folder / "summary").read_text()
    assert summary.startswith("### Gate: ACCEPT, compared with ")
    assert "compared with" in (runner.folder / "report.html").read_text()
    assert json.loads((runner.folder / "gate.json").read_text())["exit_code"] == 0


@pytest.mark.long
def test_a_change_does_not_judge_itself(runner: Runner) -> None:
    worse(runner)
    name, last = runner.job()
    assert name == "The committed results are those of the code and the parameters"
    assert last.returncode == 1
    assert "gate: REJECT" in last.stdout
    assert "gate.floor: 0.0 here, but 0.5 holds, the baseline's" in last.stdout
    assert runner.step(steps("ci")["Summary"]).returncode == 0
    assert (runner.folder / "summary").read_text().startswith("### Gate: REJECT")


@pytest.mark.long
@pytest.mark.parametrize(
    ("path", "old", "new", "message"),
    [
        ("params.yaml", "epochs: 2", "epochs: 3", "run dvc repro, then commit dvc.lock"),
        ("metrics/evaluate.json", '"accuracy": 0.', '"accuracy": 0.9', "run dvc repro"),
        ("pipeline/models.py", '"relu"', '"tanh"', "run dvc repro, then commit dvc.lock"),
    ],
)
def test_what_is_stale_or_edited_fails_with_what_to_run(
    path: str, old: str, new: str, message: str, runner: Runner
) -> None:
    text = (runner.root / path).read_text()
    assert old in text
    (runner.root / path).write_text(text.replace(old, new, 1))
    commit(runner, "Edited")
    name, last = runner.job()
    assert name == "The committed results are those of the code and the parameters"
    assert last.returncode == 2
    assert message in last.stderr


GH = """#!{python}
import json, os, pathlib, sys
calls = pathlib.Path(os.environ["CALLS"])
arguments = sys.argv[1:]
body = pathlib.Path("comment.md").read_text() if "body=@comment.md" in arguments else None
calls.write_text(calls.read_text() + json.dumps([arguments, body]) + "\\n")
if arguments[:2] == ["run", "download"]:
    sys.exit(0 if pathlib.Path("gate/gate.md").exists() else 1)
if arguments[-1].startswith("map("):
    print(os.environ["NUMBER"])
elif arguments[1] == "--paginate":
    print(os.environ["KNOWN"])
"""


@pytest.mark.parametrize(
    ("number", "known", "written"),
    [("7", "", ["POST"]), ("7", "99", ["PATCH"]), ("", "", [])],
)
def test_one_comment_that_is_renewed(
    number: str, known: str, written: list[str], tmp_path: Path
) -> None:
    program = tmp_path / "bin/gh"
    program.parent.mkdir()
    program.write_text(GH.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "calls").touch()
    (tmp_path / "gate").mkdir()
    text = "### Gate: ACCEPT\n<!-- gate --> @everyone $(touch harm) `touch harm`\n"
    (tmp_path / "gate/gate.md").write_text(text)
    (run,) = steps("comment").values()
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
        assert body.startswith("<!-- gate -->\n### Gate: ACCEPT\n&lt;!-- gate --> &#64;everyone")
        assert body.endswith("artifacts of run 12, of 0123456.\n")


def test_gitlab_runs_the_same() -> None:
    script = yaml.safe_load(Path(".gitlab-ci.yml").read_text())["pipeline"]["script"]
    words = " ".join(script)
    for run in steps("ci").values():
        for line in run.replace("\\\n", " ").splitlines():
            command = re.search(r"(make \w+|dvc repro|python -P -m pipeline.gate)", line)
            assert not command or command[1] in words

"""The gate as a program, in a real repository."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import paths
from pipeline.gate import judge
from pipeline.gate.__main__ import main, parser
from pipeline.program import run
from tests.gate.repository import Repository
from tests.gate.support import EQUAL, WORSE
from tests.support import Workspace


def judged(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of the gate, and what it wrote as JSON."""
    code = gate(*arguments, "--json", "../verdict.json")
    content: dict[str, Any] = json.loads(Path("../verdict.json").read_text())
    assert content["exit_code"] == code
    return code, content


def gate(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        run(parser(), main, arguments)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_an_equal_model_is_accepted(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = judged("--baseline", "main", "--markdown", "../gate.md")
    assert (code, found["outcome"], found["reasons"]) == (0, "accept", [])
    commit = repository.git("rev-parse", "--short=7", "main")
    printed = capsys.readouterr().out
    assert printed.startswith(f"gate: ACCEPT, compared with baseline main ({commit})\n")
    written = [Path(f"../{name}").read_bytes() for name in ("gate.md", "verdict.json")]
    judged("--baseline", "main", "--markdown", "../gate.md")
    assert [Path(f"../{name}").read_bytes() for name in ("gate.md", "verdict.json")] == written
    assert written[0].startswith(b"### Gate: ACCEPT, compared with baseline main")


def test_a_worse_model_is_rejected(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.write(WORSE)
    code, found = judged("--baseline", "main")
    assert (code, found["outcome"]) == (1, "reject")
    assert all(reason in capsys.readouterr().out for reason in found["reasons"][:1])


def test_a_baseline_replaced_in_git(repository: Repository) -> None:
    # git would show the worse commit where the baseline is named.
    repository.write(WORSE)
    repository.git("replace", "main", "main~1")
    assert judged("--baseline", "main")[0] == 1


def test_nothing_in_the_repository_is_run(repository: Repository, tmp_path: Path) -> None:
    harm = tmp_path / "harm"
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {harm}\n")
    script.chmod(0o755)
    repository.git("config", "core.fsmonitor", str(script))
    shutil.copy(script, repository.root / ".git/hooks/post-index-change")
    (repository.root / "dvc.py").write_text(f"open({str(harm)!r}, 'w')\n")
    repository.git("status")
    assert harm.exists(), "git does not run the monitor, so this test shows nothing"
    harm.unlink()
    assert judged("--baseline", "main")[0] == 0
    assert not harm.exists()


def test_a_bug_in_the_gate_is_no_rejection(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    del repository
    monkeypatch.setattr(judge, "compare", fail)
    assert gate("--baseline", "main") == 2
    assert "an error in the gate itself, see above: ZeroDivisionError()" in capsys.readouterr().err


def not_an_ancestor(repository: Repository) -> None:
    repository.git("switch", "--quiet", "main")
    repository.write(WORSE)
    repository.commit("Worse again")
    repository.git("switch", "--quiet", "branch")


def without_predictions(repository: Repository) -> None:
    repository.git("switch", "--quiet", "main")
    (repository.root / paths.PREDICTIONS).unlink()
    repository.commit("No predictions")
    repository.git("switch", "--quiet", "branch")
    repository.git("merge", "--quiet", "--strategy=ours", "--message", "Merge", "main")


def edited_there(repository: Repository) -> None:
    repository.git("switch", "--quiet", "main")
    repository.edit(paths.PREDICTIONS, "0.94", "0.95")
    repository.commit("Edited")
    repository.git("switch", "--quiet", "branch")
    repository.git("merge", "--quiet", "--strategy=ours", "--message", "Merge", "main")


def shallow(repository: Repository) -> None:
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.root}", "../shallow")
    os.chdir("../shallow")


def without_git(repository: Repository) -> None:
    shutil.rmtree(repository.root / ".git")


def a_folder(repository: Repository) -> None:
    (repository.root / paths.PREDICTIONS).unlink()
    (repository.root / paths.PREDICTIONS).mkdir()


CANNOT_TELL: dict[str, tuple[Callable[[Repository], None], str]] = {
    "not an ancestor": (
        not_an_ancestor,
        "is not an ancestor of HEAD, so HEAD does not replace it; use the merge base",
    ),
    "without predictions": (
        without_predictions,
        "has no metrics/predictions.csv; --allow-missing-baseline checks the floors alone",
    ),
    "edited": (
        edited_there,
        "predictions.csv: is not what the run wrote according to dvc.lock; name another commit",
    ),
    "shallow": (shallow, "this clone is shallow: git fetch --unshallow"),
    "no repository": (without_git, "not a git repository"),
    "a folder": (a_folder, "predictions.csv: cannot be read (Is a directory)"),
}


@pytest.mark.parametrize("case", CANNOT_TELL)
def test_it_cannot_tell(
    case: str,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(repository.root)  # goes back, wherever the change has led
    change, message = CANNOT_TELL[case]
    change(repository)
    code, found = judged("--baseline", "main")
    assert (code, found["outcome"]) == (2, "cannot tell")
    (reason,) = found["reasons"]
    assert message in reason
    output = capsys.readouterr().err
    assert output == f"gate: CANNOT TELL\n{reason}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--baseline=nothing", "'nothing': git knows no such commit"),
        ("--baseline=", "'': git knows no such commit"),
        (f"--baseline={'0' * 40}", "git knows no such commit"),
        ("--baseline=--help", "'--help': git knows no such commit"),
        ("--baseline=main:params.yaml", "git knows no such commit"),
        ("--baseline=HEAD", "nothing to compare: the baseline HEAD"),
        ("--baseline=nothing --allow-missing-baseline", "git knows no such commit"),
        ("--baseline=main --markdown=params.yaml/gate.md", "the verdict cannot be written"),
    ],
)
def test_a_wrong_argument(
    arguments: str, message: str, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    del repository
    assert gate(*arguments.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["--base main", "--baseline", "main", "--margin=1"])
def test_an_unknown_argument_is_no_acceptance(arguments: str) -> None:
    assert gate(*arguments.split()) == 2


# How the repository is, and what the gate takes for the baseline if none is named.
def detach(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "--detach")


def remote(repository: Repository) -> None:
    repository.git("update-ref", "refs/remotes/origin/main", "main~1")


def on_main(repository: Repository) -> None:
    repository.git("switch", "--quiet", "main")


def on_main_changed(repository: Repository) -> None:
    on_main(repository)
    repository.write(EQUAL)


def main_detached(repository: Repository) -> None:
    on_main(repository)
    repository.git("update-ref", "refs/remotes/origin/main", "main")
    repository.git("checkout", "--quiet", "--detach")


def master(repository: Repository) -> None:
    repository.git("branch", "--move", "main", "master")


def main_has_moved_on(repository: Repository) -> None:
    on_main(repository)
    repository.commit("Later")
    repository.git("switch", "--quiet", "branch")


DEFAULTS: dict[str, tuple[Callable[[Repository], None] | None, str]] = {
    "on a branch": (None, "at the merge base with main"),
    "detached": (detach, "at the merge base with main"),
    "with a remote": (remote, "at the merge base with origin/main"),
    "main has moved on": (main_has_moved_on, "at the merge base with main"),
    "another name": (master, "at the merge base with master"),
    "on main": (on_main, "HEAD~1"),
    "on main, detached": (main_detached, "HEAD~1"),
    "on main with changes": (on_main_changed, "HEAD"),
}


@pytest.mark.parametrize("case", DEFAULTS)
def test_the_default_baseline(case: str, repository: Repository) -> None:
    prepare, expected = DEFAULTS[case]
    if prepare:
        prepare(repository)
    found = judge.find_baseline(None)
    assert found.name == expected
    message = (
        "Worse" if expected in ("HEAD~1", "at the merge base with origin/main") else "Baseline"
    )
    assert repository.git("log", "-1", "--format=%s", found.hash) == message


def test_a_first_commit_is_ungated(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    on_main(repository)
    repository.git("reset", "--quiet", "--soft", "main~1")
    repository.git("commit", "--quiet", "--amend", "--message", "First")
    assert judged()[0] == 2
    code, found = judged("--allow-missing-baseline")
    assert (code, found["gated"], found["comparison"]) == (0, False, None)
    assert capsys.readouterr().out.startswith("gate: UNGATED, ACCEPT by the floors alone\n")


def test_a_shallow_clone_is_not_taken_for_a_first_commit(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.git("switch", "--quiet", "main")
    shallow(repository)
    monkeypatch.chdir(Path.cwd())
    assert gate("--allow-missing-baseline") == 2
    assert "no parent commit; this clone is shallow" in capsys.readouterr().err


@pytest.mark.long("pipeline/gate", "pipeline/repository.py")
def test_trained_worse_and_back_again(workspace: Workspace) -> None:
    workspace.set("train.learning_rate", 0.0001)
    assert "stale: train in params.yaml has changed" in workspace.module("pipeline.gate").stderr
    assert workspace.repro() == ["train", "evaluate"]
    rejected = workspace.module("pipeline.gate")
    assert (rejected.returncode, rejected.stderr) == (1, "")
    assert "gate: REJECT, compared with baseline HEAD (" in rejected.stdout
    workspace.commit("Bad")
    workspace.run("git", "checkout", "HEAD~1", "--", ".")
    stale = workspace.module("pipeline.gate").stderr
    assert "changed outs: models/model.keras modified" in stale
    workspace.run("dvc", "checkout")
    accepted = workspace.module("pipeline.gate")
    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert "gate: ACCEPT, compared with baseline HEAD (" in accepted.stdout

"""What a cluster needs of the repository, and what is said where it lacks it."""

import sys
from pathlib import Path

import pytest

from experiments import node, remotes, sets
from pipeline.errors import InputError
from tests.support import Start, Workspace

SWEEP = ("experiments.sweep", "train.seed=1", "--ray-address=localhost:1")


@pytest.fixture
def project(fresh: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """With a git remote and a DVC remote."""
    copy = fresh.copy(tmp_path / "project")
    copy.run("git", "init", "--quiet", "--bare", "../hub")
    copy.run("git", "remote", "add", "origin", "../hub")
    copy.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    copy.commit("Remotes")
    monkeypatch.chdir(copy.root)
    return copy


def test_no_cluster_without_ray(
    project: Workspace, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert start(*SWEEP) == (
        2,
        "",
        "sweep: ray is not installed, which RAY_ADDRESS needs; make extras\n",
    )
    assert project.run("git", "ls-remote", "origin").stdout == ""


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:six"])
@pytest.mark.usefixtures("project")
def test_an_address_without_a_port(address: str, start: Start) -> None:
    pytest.importorskip("ray")
    code, _, errors = start("experiments.sweep", "train.seed=1", f"--ray-address={address}")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"RAY_ADDRESS={address}: expected HOST:PORT, such as head:6379" in errors


@pytest.mark.usefixtures("project")
def test_nothing_there(start: Start) -> None:
    pytest.importorskip("ray")
    code, _, errors = start(*SWEEP)
    assert (code, errors.count("\n")) == (3, 1)
    assert "RAY_ADDRESS=localhost:1: does not answer (" in errors


def test_a_git_remote_is_needed(project: Workspace) -> None:
    project.run("git", "remote", "remove", "origin")
    with pytest.raises(InputError, match="git remote add origin URL, or name another one: GIT_REM"):
        remotes.Remote("origin")


def test_a_dvc_remote_is_needed_in_the_commit(project: Workspace) -> None:
    project.run("dvc", "remote", "default", "--unset")
    project.commit("No default")
    project.run("dvc", "remote", "default", "--local", "storage")
    with pytest.raises(InputError, match=r"dvc remote add -d storage ADDRESS, and commit"):
        remotes.Remote("origin")


def test_a_dvc_remote_is_the_same_folder_for_every_clone(project: Workspace) -> None:
    project.run("dvc", "remote", "modify", "storage", "url", "../../storage")
    project.commit("Relative")
    with pytest.raises(InputError, match=r"another one for each clone; give its absolute path"):
        remotes.Remote("origin")


def test_what_is_not_committed_is_not_left_out_silently(project: Workspace) -> None:
    project.set("train.seed", 5)  # given to each experiment, whatever it is here
    assert remotes.Remote("origin").url == str(project.root.parent / "hub")
    project.edit("pipeline/train.py", '"""', '"""Changed. ')
    with pytest.raises(InputError, match=r"pipeline/train.py: has changed since the last commit"):
        remotes.Remote("origin")


def test_a_commit_is_offered_while_no_branch_has_it(project: Workspace) -> None:
    def there() -> list[str]:
        lines = project.run("git", "ls-remote", "origin").stdout.splitlines()
        return [line.split("\t")[1] for line in lines]

    remote = remotes.Remote("origin")
    project.run("git", "push", "--quiet", "origin", f"HEAD:{remotes.REFS}/{remotes._host()}-0")  # noqa: SLF001
    with remote.offering() as ref:
        assert there() == [ref]  # what a killed process has left is gone
    assert there() == []
    project.run("git", "push", "--quiet", "origin", "main")
    with remote.offering() as ref:
        assert ref == ""
        assert there() == ["refs/heads/main"]
    project.commit("Ahead")
    project.run("git", "push", "--quiet", "origin", "main")
    project.run("git", "checkout", "--quiet", "HEAD~1")
    with remotes.Remote("origin").offering() as ref:
        assert ref == ""


@pytest.mark.long("experiments")
def test_what_came_back_to_the_remote_is_taken_over(
    project: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.repro()
    project.commit("Reproduced")
    other = project.copy(tmp_path / "other")
    for name, mistakes in (("whole", 9), ("partly", 8)):
        other.run("dvc", "exp", "run", "--name", name, "-S", f"evaluate.mistakes={mistakes}")
    wanted = sets.committed() | {"evaluate.mistakes": 9}
    other.run("dvc", "exp", "push", "--no-cache", "origin", "partly")
    monkeypatch.setattr("pipeline.repository.DVC", ("false",))  # stands for missing outputs
    assert not remotes.Remote("origin").has("partly", wanted | {"evaluate.mistakes": 8})
    assert project.run("dvc", "exp", "list", "--name-only").stdout == ""
    monkeypatch.undo()
    monkeypatch.chdir(project.root)

    other.run("dvc", "exp", "push", "origin", "whole")
    remote = remotes.Remote("origin")
    assert not remote.has("neither", wanted)
    with pytest.raises(InputError) as error:
        remote.has("whole", wanted | {"evaluate.mistakes": 7})
    assert str(error.value) == (
        "whole: already exists with evaluate.mistakes 9, expected 7; "
        "remove it: dvc exp remove --git-remote origin whole"
    )
    assert project.run("dvc", "exp", "list", "--name-only").stdout == ""
    assert remote.has("whole", wanted)
    assert project.run("dvc", "exp", "list", "--name-only").stdout == "whole\n"


def test_a_node_with_other_packages() -> None:
    mine = node.versions()
    assert mine["python"] == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert {"dvc", "keras", "numpy"} <= mine.keys()
    said = node._difference(mine | {"keras": "1.0"}, mine)  # noqa: SLF001
    assert said.startswith(f"this node has keras 1.0 instead of {mine['keras']}; make setup there")


def test_folders_that_lost_their_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / "clones/left").mkdir(parents=True)
    with node._clone_of(tmp_path) as one, node._clone_of(tmp_path) as two:  # noqa: SLF001
        assert sorted((tmp_path / "clones").iterdir()) == sorted([one, two])
    assert [*(tmp_path / "clones").iterdir()] == []

"""Experiments on a Ray cluster of two nodes that have networks of their own."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, cluster
from tests.cluster.network import kill
from tests.support import Workspace

pytest.importorskip("ray", reason="the group cluster is not installed: make extras")

pytestmark = pytest.mark.cluster

MODEL = "models/model.keras"


def with_remotes(project: Workspace, folder: Path) -> None:
    """Gives the project a git remote and a DVC remote, and pushes it there."""
    project.run("git", "init", "--quiet", "--bare", str(folder / "hub"))
    project.run("git", "remote", "add", "origin", str(folder / "hub"))
    project.run("dvc", "remote", "add", "--default", "storage", str(folder / "storage"))
    project.commit("Remotes")
    project.run("git", "push", "--quiet", "origin", "main")
    project.run("dvc", "push")


@pytest.fixture(scope="module")
def nodes(
    reproduced: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    project = reproduced.copy(folder / "project")
    with_remotes(project, folder)
    with cluster(project, folder, cpus=2) as made:
        yield made


def wait_until(holds: Callable[[], bool]) -> None:
    """Waits for a minute at most."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)


def experiments(project: Workspace) -> dict[str, str]:
    """The commits of all experiments by name."""
    refs = project.run("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    return {ref.split("/")[-1]: commit for ref, commit in map(str.split, refs.stdout.splitlines())}


def refs_of_ours(project: Workspace) -> str:
    """What clusters keep on the git remote while they run."""
    return project.run("git", "ls-remote", "origin", "refs/pipeline/*").stdout


def test_a_failed_experiment_says_why_and_the_others_go_on(nodes: Cluster) -> None:
    project = nodes.project
    project.commit("Not pushed")
    grid = "model.mlp.hidden_units=[8192],[8]"
    project.variables["PIPELINE_TEST"] = "1"
    code, out, errors = nodes.run("experiments.sweep", grid, "--cpus=1")
    assert (code, errors) == (0, "")
    assert out.count("% on the test images, on 10.77.0.") == 2
    assert refs_of_ours(project) == ""
    assert nodes.clones() == []

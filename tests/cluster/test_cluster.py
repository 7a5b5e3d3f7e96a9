"""Experiments on a Ray cluster of two nodes that have networks of their own."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cluster.cluster import PAGE, Cluster, cluster
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
def nodes(reproduced: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
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
    refs = project.run(
        "git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps/*/*/*"
    )
    return {ref.split("/")[-1]: commit for ref, commit in map(str.split, refs.stdout.splitlines())}


def refs_of_ours(project: Workspace) -> str:
    """What clusters keep on the git remote while they run."""
    return project.run("git", "ls-remote", "origin", "refs/pipeline/*").stdout


def refused(nodes: Cluster, *arguments: str, **variables: str) -> tuple[int, str]:
    """The exit code and the only line of a program that does not begin."""
    grid = ("experiments.sweep", "train.seed=9", *arguments)
    code, out, errors = nodes.run(*grid, **variables)
    assert (out.replace("connecting", "").strip(), errors.count("\n")) == ("", 1), errors
    return code, errors


def test_what_keeps_a_program_from_the_cluster(nodes: Cluster) -> None:
    code, line = refused(nodes, RAY_AUTH_TOKEN="0" * 64)
    assert code == 2
    assert "does not let us in" in line
    code, line = refused(nodes, RAY_AUTH_TOKEN="")
    assert code == 2
    assert "there is no token here; put the cluster's into RAY_AUTH_TOKEN" in line
    code, line = refused(nodes, "--gpus=1")
    assert code == 2
    assert "no node has room for an experiment of 2 CPUs and 1 GPUs (they have 2 CPUs, 0 G" in line
    code, line = refused(nodes, "--cpus=0")
    assert code == 2
    assert "no node has room for an experiment of 0 CPUs and 0 GPUs" in line
    code, line = refused(nodes, "--git-remote=hub")
    assert code == 2
    assert "git has no remote hub, by which experiments come back" in line


OTHER_VERSION = """
import ray, runpy, sys
ray.__version__ = "2.0.0"
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def test_a_cluster_of_another_version(nodes: Cluster) -> None:
    sweep = ("experiments.sweep", "train.seed=9", "--ray-address", nodes.address)
    process = nodes.started("python", "-c", OTHER_VERSION, *sweep, RAY_AUTH_MODE="token")
    _, errors = process.communicate()
    assert (process.returncode, errors.count("\n")) == (2, 1), errors
    assert "Version mismatch" in errors
    assert "Ray: 2.0.0" in errors
    assert "make setup extras gives all nodes the same packages" in errors


def test_a_cluster_that_does_not_answer(nodes: Cluster) -> None:
    began = time.monotonic()
    done = nodes.project.run(
        *nodes.nodes[0].command("python", "-m", "experiments.sweep", "train.seed=9"),
        *("--ray-address", "10.77.0.9:6379"),
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "RAY_ADDRESS=10.77.0.9:6379: does not answer" in done.stderr
    assert time.monotonic() - began < 20


@pytest.mark.nightly
def test_a_failure_is_not_repeated_and_says_why(nodes: Cluster) -> None:
    nodes.project.commit("Not pushed")
    code, out, errors = nodes.run("experiments.sweep", "dataset.name=mnist")
    assert code == 5
    assert out.splitlines()[-1] == "failed  sweep-dataset.name-mnist"
    assert errors.startswith("sweep: sweep-dataset.name-mnist: failed: download: ")
    output = re.search(r"its output on 10.77.0.\d: (\S+)$", errors.strip())
    assert output
    assert (nodes.project.root / output[1]).read_text().count("Running stage 'download'") == 1
    assert refs_of_ours(nodes.project) == ""
    assert nodes.clones() == []


LONG = ("experiments.sweep", "train.epochs=10000")


@pytest.mark.nightly
def test_ctrl_c_removes_the_clones(nodes: Cluster) -> None:
    process = nodes.start(*LONG)
    wait_until(lambda: "\nepoch " in "".join(map(nodes.output, nodes.nodes)))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert (process.returncode, errors.count("\n")) == (130, 1)
    assert errors.startswith("cancelling what runs")
    assert nodes.clones() == []
    assert refs_of_ours(nodes.project) == ""


@pytest.mark.nightly
def test_a_killed_program_takes_its_experiments_along(nodes: Cluster) -> None:
    process = nodes.start(*LONG)
    wait_until(lambda: "\nepoch " in "".join(map(nodes.output, nodes.nodes)))
    (training,) = stages(nodes)
    process.kill()
    process.communicate()
    wait_until(lambda: stages(nodes) == [])
    assert training
    assert len(nodes.clones()) == 1  # until the next experiment on that node
    assert refs_of_ours(nodes.project) != ""  # until the next program


def stages(nodes: Cluster) -> list[int]:
    """The processes that train."""
    found = []
    for node in nodes.nodes:
        for process in node.processes():
            with suppress(OSError):
                command = Path("/proc", str(process), "cmdline").read_text()
                if "pipeline.train" in command.split("\0"):
                    found.append(process)
    return found


SWEEP, SEARCH, *OTHERS = re.findall(r"^make .*RAY_ADDRESS=.*", PAGE, re.MULTILINE)


@pytest.mark.nightly
def test_a_search_a_ladder_and_a_single_experiment(nodes: Cluster) -> None:
    out, errors = nodes.make(SEARCH.replace("TRIALS=50", "TRIALS=1")).communicate()
    assert errors == ""
    assert re.search(
        r"^1  val_accuracy 0\.\d{4}  search-(\w{6})-1  train.learning_rate=", out, re.MULTILINE
    )
    (lesson,) = OTHERS  # 55 experiments; its way is that of the seeds, the first of which is here
    out, _ = nodes.make(lesson.replace("lesson", "seeds SEEDS=2")).communicate()
    assert re.search(r"\| `default` \| 4,810 \| \d+.\d+ ± \d+.\d+ \| 2 \| \d+ \|", out)

    code, out, errors = nodes.run("experiments.run", "default", "--seed=2")
    assert (code, errors) == (0, "")
    assert "done  default-seed-2  " in out
    assert "  seed: 2" in nodes.project.read("params.yaml")["params.yaml"].decode()
    nodes.project.run("git", "restore", ".")
    nodes.project.run("dvc", "checkout", "--quiet")


def test_a_node_is_lost_and_all_arrive(nodes: Cluster, tmp_path: Path) -> None:
    project, (head, other) = nodes.project, nodes.nodes
    process = nodes.make(SWEEP)
    wait_until(lambda: "\nepoch " in nodes.output(other))
    kill(other.processes())
    out, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    arrived = re.findall(r"^done  (\S+)  .*% on the test images, on (\S+)$", out, re.MULTILINE)
    assert {name for name, _ in arrived} == {
        f"sweep-learning_rate-{rate}-mlp.hidden_units-{units}"
        for rate in (0.0001, 0.001, 0.01)
        for units in (128, 512)
    }
    assert {where for _, where in arrived} == {head.address}

    # Of what was killed before, or with the other node, nothing is left here.
    assert [path for path in nodes.clones() if head.address in path] == []
    assert refs_of_ours(project) == ""

    # As after a local run: the bytes, the tables, and what is there already.
    local = project.copy(tmp_path / "local")
    changes = ("-S", "train.learning_rate=0.01", "-S", "model.mlp.hidden_units=[128]")
    local.run("dvc", "exp", "run", "--name", "local", *changes)
    project.run("dvc", "exp", "apply", "sweep-learning_rate-0.01-mlp.hidden_units-128")
    for path in (MODEL, "metrics/history.csv", "metrics/predictions.csv", "dvc.lock"):
        assert project.read(path) == local.read(path)
    shown = project.run("dvc", "exp", "show", "--csv").stdout
    best = project.run("python", "-m", "experiments.best").stdout
    compared = project.run("python", "-m", "experiments.compare").stdout
    assert all(one in text for one, _ in arrived for text in (shown, compared))
    assert f"\n{1 + len(experiments(project))} compared" in best
    again, _ = nodes.make(SWEEP).communicate()
    assert again.splitlines()[-1].startswith("6 experiments; ")
    assert "done" not in again

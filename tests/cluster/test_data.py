"""Pictures decoded, and test images scored, on the nodes of a cluster: the same bytes as here."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cluster.cluster import Cluster, cluster
from tests.data.support import encoded, write
from tests.support import Workspace

pytest.importorskip("ray", reason="ray is in requirements-cluster.lock only")
pytestmark = [pytest.mark.cluster, pytest.mark.nightly]

COUNT = 700  # more than are decoded in one process
OUTPUTS = ("data/processed", "metrics/preprocess.json", "models/model.keras", "metrics")


def noise(folder: Path) -> None:
    """Pictures of many sizes in two classes; a third are JPEGs, some are in colour, one is not."""
    generator = np.random.default_rng(0)
    files: dict[str, bytes | str] = {}
    for number in range(COUNT):
        height, width = generator.integers(5, 30, 2)
        pixels = generator.integers(0, 100 + 100 * (number % 2), (height, width, 3), np.uint8)
        image = Image.fromarray(pixels if number > COUNT / 2 else pixels[..., 0])
        kind = "JPEG" if number % 3 == 0 else "PNG"
        files[f"{number % 2}/{number:03}.{kind.lower()}"] = encoded(image, kind)
    write(folder, files)


@pytest.fixture(scope="module")
def project(fresh: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project whose images are such pictures, reproduced without a cluster."""
    made = fresh.copy(tmp_path_factory.mktemp("project") / "repository")
    noise(made.root / "data/sources/noise")
    made.set("dataset.name", "noise")
    made.set("preprocess.size", [9, 12])
    made.set("train.epochs", 1)
    made.repro()
    return made


@pytest.fixture(scope="module")
def nodes(project: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(project, tmp_path_factory.mktemp("cluster"), cpus=1) as made:
        yield made


def stage(
    nodes: Cluster, workspace: Workspace, *command: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs `command` on the head, which is told of the cluster."""
    told = {"RAY_ADDRESS": nodes.address, "RAY_AUTH_TOKEN": nodes.token, **variables}
    return subprocess.run(
        nodes.nodes[0].command(*command),
        cwd=workspace.root,
        env=workspace.environment() | told,
        capture_output=True,
        text=True,
        check=False,
    )


def results(workspace: Workspace) -> dict[str, bytes]:
    files = workspace.read(*OUTPUTS)
    files.pop("metrics/timing.json", None)
    return files


@pytest.mark.parametrize("store", [False, True])
def test_the_same_bytes(nodes: Cluster, project: Workspace, tmp_path: Path, store: bool) -> None:
    expected = results(project)
    again = project.copy(tmp_path / "again")
    if store:
        again.edit("pipeline/data/store.py", "PART = 1 << 25", "PART = 10_000")
        again.set("preprocess.store", f"file://{tmp_path}/store")
        again.repro()
        expected = results(again)
        again.run("rm", "-r", str(tmp_path / "store"))
    done = stage(nodes, again, "dvc", "repro", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert results(again) == expected


def test_a_broken_picture(nodes: Cluster, project: Workspace, tmp_path: Path) -> None:
    broken = project.copy(tmp_path / "broken")
    (broken.root / "data/sources/noise/1/500.png").unlink(missing_ok=True)
    write(broken.root / "data/sources/noise", {"1/zzz.png": b"nothing"})
    broken.run("python", "-m", "pipeline.download")
    here = broken.module("pipeline.preprocess")
    there = stage(nodes, broken, "python", "-m", "pipeline.preprocess")
    assert (there.returncode, there.stderr) == (here.returncode, here.stderr)
    assert here.stderr.startswith("preprocess: data/sources/noise/1/zzz.png: is none of PNG")


@pytest.mark.parametrize(
    ("address", "token", "code", "message"),
    [
        ("nowhere", "", 2, "RAY_ADDRESS=nowhere: expected HOST:PORT"),
        ("10.77.0.1:1", "", 3, "RAY_ADDRESS=10.77.0.1:1: does not answer ("),
        ("10.77.0.1:6379", "f" * 64, 2, "RAY_ADDRESS=10.77.0.1:6379: answers, but does not let"),
    ],
)
def test_no_cluster(
    nodes: Cluster, project: Workspace, address: str, token: str, code: int, message: str
) -> None:
    for name in ("preprocess", "evaluate"):
        command = ("python", "-m", f"pipeline.{name}")
        done = stage(
            nodes, project, *command, RAY_ADDRESS=address, RAY_AUTH_TOKEN=token or nodes.token
        )
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert done.stderr.startswith(f"{name}: {message}")

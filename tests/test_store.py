"""The real pipeline with its images on an S3 server, compared with images on the disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.support import Workspace

pytestmark = pytest.mark.long(
    "dvc.yaml",
    "pipeline/data",
    "pipeline/evaluate.py",
    "pipeline/preprocess.py",
    "pipeline/train.py",
    "pipeline/training",
    "requirements",
    "tests/servers.py",
)
STREAMED = """
from pipeline import params, paths, train

train.MEMORY_SHARE = 0
train.main(params.load(paths.PARAMS))
"""
SPLITS = ("train", "validation", "test")
SEEN_BY_NOBODY = {"metrics/timing.json", "metrics/provenance.json"}


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """The variables with which `bucket` is reached."""
    for module in ("s3fs", "moto", "flask_cors"):
        pytest.importorskip(module, reason=f"{module} is in requirements-*.lock only")
    with servers.s3("bucket") as port:
        yield {
            "AWS_ENDPOINT_URL": f"http://{servers.HOST}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "no_proxy": servers.HOST,
        }


def results(workspace: Workspace) -> dict[str, bytes]:
    files = workspace.read("metrics", "models/model.keras")
    return {name: content for name, content in files.items() if name not in SEEN_BY_NOBODY}


def test_images_in_a_bucket(workspace: Workspace, tmp_path: Path, s3: dict[str, str]) -> None:
    streamed = workspace.copy(tmp_path / "streamed")
    streamed.run("python", "-c", STREAMED)
    streamed.run("python", "-m", "pipeline.evaluate")

    workspace.variables = s3
    workspace.set("preprocess.store", "s3://bucket/digits")
    assert workspace.repro() == ["preprocess", "train", "evaluate"]
    for split in SPLITS:
        assert {path.name for path in (workspace.root / "data/processed" / split).iterdir()} == {
            "about.json",
            "digests.npy",
            "images.json",
            "labels.npy",
        }
    assert results(workspace) == results(streamed)

    workspace.commit("In a bucket")
    verified = workspace.module("pipeline.verify")
    assert "the same to the bit: dvc.lock" in verified.stdout, verified.stderr
    judged = workspace.module("pipeline.gate", "--baseline=HEAD~1")
    assert judged.returncode == 2  # dvc.lock has another digest for the same images
    assert "did not see the same images" in judged.stderr
    clone = workspace.copy(tmp_path / "another")
    clone.run("rm", "-r", "data/processed")
    assert clone.run("dvc", "checkout").returncode == 0
    assert clone.repro() == []

    workspace.variables["AWS_ENDPOINT_URL"] = f"http://{servers.HOST}:9"
    for stage, code in (("preprocess", 3), ("train", 3), ("evaluate", 3)):
        failed = workspace.module(f"pipeline.{stage}")
        assert (failed.returncode, failed.stderr.count("\n")) == (code, 1), failed.stderr
        assert failed.stderr.startswith(f"{stage}: s3://bucket/digits: cannot be reached (")

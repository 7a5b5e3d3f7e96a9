"""What a new run of the committed state is compared with."""

from pathlib import Path

import numpy as np
import pytest

from pipeline import paths
from pipeline.artifacts import json_bytes
from pipeline.errors import IntegrityError
from pipeline.lock import md5, read_lock
from pipeline.repository import Source
from pipeline.verify import compare, rehash
from tests.gate.support import edited, lock, run, source
from tests.support import Workspace

LABELS = np.tile(np.arange(10), 1000)  # of 10,000 images


def results(
    *, model: bytes = b"model", wrong: int = 0, processor: str = "one", about: bytes | None = None
) -> Source:
    """A run whose model takes the first `wrong` images for another class."""
    files = run(range(wrong), LABELS)
    made = {"model_md5": md5(about or model), "processor": processor}
    files[paths.PROVENANCE] = json_bytes(made)
    lock(files, model=md5(model))
    return source(files)


def test_the_same_bytes() -> None:
    (line,) = compare(results(), results(processor="two"))
    assert line == "the same to the bit: dvc.lock, and with it 5 outputs"


def test_another_processor_may_differ_a_little() -> None:
    made = results(model=b"other", wrong=5, processor="two")
    assert compare(results(), made) == [
        "data/processed/test: the same to the bit",
        "metrics/download.json: the same to the bit",
        "metrics/preprocess.json: the same to the bit",
        "metrics/predictions.csv: differs, its numbers by at most 1",
        "models/model.keras: differs",
        "5 of 10,000 predicted classes differ",
        "committed: made on one",
        "here: made on two",
        "accepted: on another processor, up to 0.05% of the predictions may differ",
    ]


def test_a_last_digit_is_said_to_be_one() -> None:
    # The same model, scored on another processor than it was trained on.
    committed, made = run(range(0), LABELS), run(range(0), LABELS)
    for files in (committed, made):
        files[paths.PROVENANCE] = json_bytes({"model_md5": "2" * 32, "processor": "one"})
    edited(paths.PREDICTIONS, "0.943130", "0.943131")(made)
    lines = compare(source(committed), source(made))
    assert "models/model.keras: the same to the bit" in lines
    assert "metrics/predictions.csv: differs, its numbers by at most 1e-06" in lines
    assert "0 of 10,000 predicted classes differ" in lines
    assert lines[-1] == "accepted: the model and all predicted classes are the same"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (results(model=b"other", wrong=6, processor="two"), "6 of 10,000 predicted classes differ"),
        (results(model=b"other"), "models/model.keras: differs"),  # on the same processor
        (results(wrong=1), "metrics/predictions.csv: differs"),
    ],
)
def test_other_bytes(made: Source, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        compare(results(), made)


def test_results_of_an_unknown_processor_must_be_the_same() -> None:
    committed = results(about=b"an earlier model", processor="two")
    with pytest.raises(IntegrityError, match="committed: made on an unknown processor"):
        compare(committed, results(model=b"other"))


def test_a_lock_of_other_code() -> None:
    committed = results()

    def stale(path: Path) -> bytes:
        return committed.read(path).replace(b"cmd: x", b"cmd: y")

    with pytest.raises(IntegrityError, match=r"dvc.lock is not that of this code"):
        compare(Source("HEAD", "", stale), results())


def test_a_committed_run_comes_out_again(workspace: Workspace) -> None:
    result = workspace.run("python", "-m", "pipeline.verify")
    assert "files have the digests in dvc.lock, 0 are damaged" in result.stdout
    assert "the same to the bit: dvc.lock, and with it 14 outputs" in result.stdout
    assert workspace.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize("path", ["models/model.keras", "data/processed/test/images.npy"])
def test_a_damaged_file_in_the_cache(path: str, workspace: Workspace) -> None:
    content = (workspace.root / path).read_bytes()
    cache = workspace.root / ".dvc/cache"
    cached = cache / "files/md5" / md5(content)[:2] / md5(content)[2:]
    found = read_lock(lambda name: (workspace.root / name).read_bytes())
    whole, damaged = rehash(found, cache)
    assert damaged == {}
    cached.chmod(0o644)
    cached.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert rehash(found, cache) == (whole - 1, {path: cached})


def test_a_damaged_cache_fails(workspace: Workspace) -> None:
    content = (workspace.root / "models/model.keras").read_bytes()
    cached = workspace.root / ".dvc/cache/files/md5" / md5(content)[:2] / md5(content)[2:]
    cached.chmod(0o644)
    cached.write_bytes(b"damaged")
    cached.chmod(0o444)
    assert "up to date" in workspace.run("dvc", "status").stdout  # DVC does not look
    result = workspace.module("pipeline.verify")
    assert result.returncode == 4
    assert f"models/model.keras: damaged in the cache; rm -f {cached}" in result.stderr


def test_what_is_not_in_the_cache_is_not_damaged(tmp_path: Path) -> None:
    assert rehash(read_lock(results().read), tmp_path) == (0, {})

"""What a stranger's run is held against."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline import paths
from pipeline.errors import IntegrityError
from pipeline.results import digest, outputs, stages
from pipeline.verify import compare, rehash
from tests.conftest import Workspace

COUNT = 10_000
Read = Callable[[Path], bytes]


def results(
    *, model: bytes = b"model", wrong: int = 0, processor: str = "one", about: bytes | None = None
) -> Read:
    """The files of a run: a model, and predictions of which the first `wrong` are 1, not 0."""
    predictions = "index,actual,predicted,probability\n" + "".join(
        f"{index},0,{int(index < wrong)},1.0\n" for index in range(COUNT)
    )
    stage = {
        "cmd": "train",
        "deps": [],
        "outs": [
            {"path": str(paths.MODEL), "md5": digest(model)},
            {"path": str(paths.PREDICTIONS), "md5": digest(predictions.encode())},
        ],
    }
    provenance = {"model_md5": digest(about or model), "processor": processor}
    files = {
        paths.LOCK: yaml.safe_dump({"stages": {"train": stage}}).encode(),
        paths.PREDICTIONS: predictions.encode(),
        paths.PROVENANCE: json.dumps(provenance).encode(),
    }
    return files.__getitem__


def test_the_same_bytes() -> None:
    (line,) = compare(results(), results(processor="two"))
    assert line == "the same to the bit: dvc.lock, and with it 2 outputs"


def test_another_processor_may_differ_a_little() -> None:
    made = results(model=b"other", wrong=5, processor="two")
    assert compare(results(), made) == [
        "metrics/predictions.csv: not the same",
        "models/model.keras: not the same",
        "committed: made on one",
        "here: made on two",
        "5 of 10000 predictions differ",
        "accepted: on another processor, up to 0.05% of them may",
    ]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (results(model=b"other", wrong=6, processor="two"), "6 of 10000 predictions differ"),
        (results(model=b"other"), "models/model.keras: not the same"),  # on the same processor
        (results(wrong=1), "metrics/predictions.csv: not the same"),
    ],
)
def test_other_bytes(made: Read, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        compare(results(), made)


def test_results_of_an_unknown_processor_must_be_the_same() -> None:
    committed = results(about=b"a model of before", processor="two")
    with pytest.raises(IntegrityError, match="committed: made on an unknown processor"):
        compare(committed, results(model=b"other"))


def test_a_lock_of_other_code() -> None:
    def stale(path: Path) -> bytes:
        return results()(path).replace(b"cmd: train", b"cmd: before")

    with pytest.raises(IntegrityError, match=r"dvc.lock is not that of this code"):
        compare(stale, results())


def test_a_committed_run_comes_out_again(workspace: Workspace) -> None:
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Reproduced")
    result = workspace.run("python", "-m", "pipeline.verify")
    assert "files in the cache are what dvc.lock says, 0 are not" in result.stdout
    assert "the same to the bit: dvc.lock, and with it 14 outputs" in result.stdout
    assert workspace.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize("path", ["models/model.keras", "data/processed/test/images.npy"])
def test_a_damaged_file_in_the_cache(path: str, workspace: Workspace) -> None:
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Reproduced")
    content = (workspace.root / path).read_bytes()
    cached = workspace.root / ".dvc/cache/files/md5" / digest(content)[:2] / digest(content)[2:]
    cached.chmod(0o644)
    cached.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    cached.chmod(0o444)
    assert "up to date" in workspace.run("dvc", "status").stdout  # DVC does not look
    result = workspace.run("python", "-m", "pipeline.verify", check=False)
    assert result.returncode == 4
    assert f"{path}: damaged in the cache; rm -f " in result.stderr
    assert cached.name in result.stderr


def test_what_is_not_in_the_cache_is_not_damaged(tmp_path: Path) -> None:
    assert rehash(outputs(stages(results())), tmp_path) == (0, {})

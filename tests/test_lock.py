"""dvc.lock, compared with what DVC itself computed."""

from pathlib import Path

import pytest

from pipeline import paths
from pipeline.errors import IntegrityError
from pipeline.lock import check_recorded, digest, read_lock
from pipeline.records import read_file
from tests.support import Workspace


def test_digests_are_those_of_dvc(reproduced: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(reproduced.root)
    outputs = read_lock(read_file).outputs
    assert len(outputs) == 14
    assert {path: digest(Path(path)) for path in outputs} == outputs


def test_an_input_that_is_not_what_was_recorded(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    check_recorded([paths.TEST, paths.MODEL, Path("not/recorded")])
    labels = Path("data/processed/test/labels.npy")
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x05")
    check_recorded([paths.MODEL])
    with pytest.raises(IntegrityError, match=r"data/processed/test: is damaged, its MD5 is not"):
        check_recorded([paths.TEST, paths.MODEL])
    paths.LOCK.unlink()
    check_recorded([paths.TEST])

"""The rows of tests/faults/own.py without DVC: the two stages in an otherwise empty folder."""

import sys
from pathlib import Path

import pytest

from tests.data.support import write
from tests.faults.own import OWNS, PARAMS, Own
from tests.support import Start, set_param, suite_params

CASES = {own.what: own for own in OWNS}
BEFORE = {"data/processed/before": "x", "metrics/preprocess.json": "x"}  # an earlier result


@pytest.fixture(scope="module")
def params(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A params.yaml that names the dataset."""
    path = tmp_path_factory.mktemp("params") / "params.yaml"
    path.write_text(suite_params())
    for key, value in PARAMS.items():
        set_param(path, key, value)
    return path.read_bytes()


@pytest.mark.parametrize("what", CASES)
def test_own(
    what: str,
    params: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    start: Start,
) -> None:
    own = CASES[what]
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"params.yaml": params, **BEFORE})
    for key, value in own.params.items():
        set_param(tmp_path / "params.yaml", key, value)
    own.write(tmp_path)
    if own.stage == "preprocess":
        assert start("pipeline.download")[0] == 0
    own.between(tmp_path)
    if (tmp_path / "pyarrow.py").exists():
        import_anew("pyarrow", monkeypatch)
    before = content(tmp_path)
    code, output, errors = start(f"pipeline.{own.stage}")
    assert code == own.code, output + errors
    assert own.line in (output if code == 0 else errors)
    check_line(own, errors)
    if code:
        assert content(tmp_path) == before
    else:
        assert not (tmp_path / "data/processed/before").exists()


def import_anew(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets Python look for a package again, in this folder first."""
    monkeypatch.syspath_prepend(".")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)


def content(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder but the locks of stages and how long they took."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.is_relative_to(folder / ".pipeline") and path.name != "timing.json"
    }


def check_line(own: Own, errors: str) -> None:
    """One line says what is wrong; only broken pictures have a line each below it."""
    assert "Traceback" not in errors
    if own.code:
        first, *more = errors.splitlines()
        assert first.startswith(f"{own.stage}: ")
        assert all(line.startswith("  ") for line in more)

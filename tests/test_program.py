"""Every program: --help, a wrong argument, Ctrl-C, and streams that cannot be written to."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import pytest

from pipeline import program
from tests.support import PROGRAMS, STAGES, Start, Workspace, suite_params


@pytest.fixture(autouse=True)
def here(fresh: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory is a repository."""
    monkeypatch.chdir(fresh.root)


@pytest.mark.parametrize("module", PROGRAMS)
def test_help(module: str, start: Start) -> None:
    code, output, errors = start(module, "--help")
    assert (code, errors) == (0, "")
    assert output.startswith(f"usage: python -m {module} [-h]")
    assert re.search(r"\n\n[A-Z][^\n]* ", output)  # what it does
    assert "show this help message and exit" in output


@pytest.mark.parametrize("module", PROGRAMS)
def test_a_wrong_argument(module: str, start: Start) -> None:
    name = module.split(".")[1]
    message = f"{name}: unrecognized arguments: --nonsense; see python -m {module} --help\n"
    assert start(module, *PROGRAMS[module], "--nonsense") == (2, "", message)


@pytest.mark.parametrize("module", PROGRAMS)
def test_ctrl_c(module: str, start: Start) -> None:
    def press(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if (event, code.co_name, frame.f_globals["__name__"]) == ("call", "main", "__main__"):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(press)
    assert start(module, *PROGRAMS[module]) == (130, "", "")


def test_nothing_was_left_behind(fresh: Workspace) -> None:
    assert fresh.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.parametrize(
    "module", ["experiments.run", "benchmarks.bench", "benchmarks.emoji", "benchmarks.plain"]
)
def test_a_missing_argument(module: str, start: Start) -> None:
    code, _, errors = start(module)
    assert (code, errors.count("\n")) == (2, 1)
    assert "the following arguments are required" in errors


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_outside_the_repository(
    stage: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, errors = start(f"pipeline.{stage}")
    assert code == 2
    assert errors.startswith(f"{stage}: params.yaml: cannot be read (No such file or directory);")
    assert list(tmp_path.iterdir()) == []


def test_control_characters_are_written_out() -> None:
    assert program.printable("a\x1b[2J\n'é'") == r"a\x1b[2J\n'é'"
    assert program.printable("a\nb", keep="\n") == "a\nb"


PRINT = (
    "from pipeline.program import Parser, emit, run\nrun(Parser('x.test', 'Test.'), lambda _: {})"
)


@pytest.mark.parametrize(
    ("body", "shell", "code", "message"),
    [
        ("print('é', flush=True)", "PYTHONIOENCODING=ascii {}", 0, ""),
        ("print('x' * 100)", "{} > /dev/full", 6, "No space left on device; make room"),
        ("print('x' * 100000)", "{} | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}", 141, ""),
        ("print('x')", "{} >&-", 0, ""),
        ("print('x')", "{} <&- >&- 2>&-", 0, ""),
        ("open('/nowhere')", "{}", 6, "/nowhere: No such file or directory; check the disk"),
        ("open('/nowhere')", "{} 2>&-", 6, ""),
        ("emit('x', __import__('sys').stdout)", "{} >&-", 2, "cannot be printed (the output is"),
        ("emit('x', __import__('sys').stdout)", "{} >/dev/full", 2, "cannot be printed (No space"),
        ("__import__('os').kill(__import__('os').getpid(), 15)", "{}", 143, ""),
        ("__import__('os').kill(__import__('os').getpid(), 1)", "{}", 129, ""),
        ("__import__('os').kill(__import__('os').getpid(), 1)", "nohup {}", 0, ""),
    ],
)
def test_how_a_program_ends(
    body: str, shell: str, code: int, message: str, fresh: Workspace
) -> None:
    (fresh.root.parent / "body.py").write_text(PRINT.format(body))
    command = shell.format(f"{sys.executable} ../body.py")
    result = Workspace(fresh.root, PYTHONPATH=".").run("bash", "-c", command, check=False)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert message in result.stderr


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "get access"),
        (errno.EROFS, "make it writable"),
        (errno.EIO, "check the disk"),
    ],
)
def test_the_remedy_fits_the_error(
    number: int, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_options: object) -> None:
        raise OSError(number, os.strerror(number), "data/raw")

    with pytest.raises(SystemExit) as end:
        program.run(program.Parser("x.test", "Test."), fail, [])
    assert end.value.code == 6
    message = f"test: data/raw: {os.strerror(number)}; {remedy}, then run it again\n"
    assert capsys.readouterr().err == message


@pytest.mark.parametrize("content", ["", "[]", "{", '{"train": 3}', None])
def test_a_damaged_record_of_seconds_stops_nothing(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["test"])
    (tmp_path / "params.yaml").write_text(suite_params())
    timing = tmp_path / "metrics/timing.json"
    timing.parent.mkdir()
    if content is None:
        timing.mkdir()
    else:
        timing.write_text(content)
    with pytest.raises(SystemExit) as end:
        program.run_stage("test", "Test.", lambda _params: None)
    assert end.value.code == 0
    if content is not None:
        assert '"test": {\n    "seconds": 0.' in timing.read_text()


def test_a_second_run_of_a_stage_is_turned_away(workspace: Workspace) -> None:
    workspace.set("train.epochs", 10_000)
    first = workspace.start("python", "-m", "pipeline.train", stdout=subprocess.DEVNULL)
    lock = workspace.root / ".pipeline/locks/train"
    while not (lock.exists() and lock.read_text() == str(first.pid)):
        assert first.poll() is None
    second = workspace.module("pipeline.train")
    first.send_signal(signal.SIGINT)
    assert first.wait() == 130
    assert second.returncode == 7
    assert f"process {first.pid} is running this stage in this folder" in second.stderr

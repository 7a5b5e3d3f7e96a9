"""Compiled programs are found again by every process that needs the same, and harm none."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.program import NO_COMPILE_CACHE
from pipeline.training import compile_cache
from pipeline.training.compile_cache import UNPROVEN, Loan, Store
from tests.support import Workspace

FIRST, SECOND = "xla_compile_cache__1__2__XLA_CPU_JIT.pb", "xla_compile_cache__3__4__XLA_CPU_JIT.pb"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


def compiled(loan: Loan, name: str, content: bytes = b"machine code") -> None:
    """Leaves what TensorFlow would, and ends an epoch."""
    (loan.folder / name).write_bytes(content)
    loan.keep()


def lent(store: Store) -> dict[str, bytes]:
    """What TensorFlow would find in a new process."""
    loan = Loan(store)
    found = {file.name: file.read_bytes() for file in loan.folder.glob("*.pb")}
    loan.end()
    return found


def test_what_one_process_compiles_the_next_one_finds(store: Store) -> None:
    first, beside = Loan(store), Loan(store)
    compiled(first, FIRST, b"1")
    compiled(first, SECOND, b"2")
    assert [*beside.folder.glob("*.pb")] == []
    compiled(beside, FIRST, b"the same, compiled at the same time")
    for loan in (first, beside):
        loan.end()
        assert not loan.folder.exists()
    assert len(store.programs()) == 3
    assert lent(store) == {FIRST: b"1", SECOND: b"2"}
    assert lent(store) == {FIRST: b"1", SECOND: b"2"}
    assert [file for file in store.folder.iterdir() if file.is_dir()] == []


CONTENT = bytes(range(256))


@given(st.integers(0, 255), st.integers(0, 7), st.booleans())
def test_a_damaged_program_is_never_lent(position: int, bit: int, cut: bool) -> None:
    damaged = bytearray(CONTENT)
    damaged[position] ^= 1 << bit
    check_damage(CONTENT[:position] if cut else bytes(damaged))


@pytest.mark.parametrize("damaged", [b"", CONTENT + b"\n", CONTENT[::-1]])
def test_nor_one_in_another_way(damaged: bytes) -> None:
    check_damage(damaged)


def check_damage(damaged: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, target = Store(Path(folder, "store")), Path(folder, "target")
        for one in (store.folder, target):
            one.mkdir()
        for name in (FIRST, SECOND):
            Path(folder, name).write_bytes(CONTENT)
            store.add(Path(folder, name))
        next(file for file in store.programs() if FIRST in file.name).write_bytes(damaged)
        store.link(target)
        assert [file.name for file in target.iterdir()] == [SECOND]
        assert len(store.programs()) == 1


def test_what_is_damaged_is_told(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    loan = Loan(store)
    compiled(loan, FIRST)
    loan.end()
    (file,) = store.programs()
    file.write_bytes(b"")
    lent(store)
    assert capsys.readouterr().out == f"{file}: removed, it is damaged; it is compiled anew\n"


def test_foreign_files_are_left_alone(store: Store) -> None:
    folder = store.folder
    (folder / FIRST).write_bytes(b"without a digest")
    (folder / f"{'0' * 64}-{FIRST}").mkdir()
    (folder / f"{'1' * 64}-{FIRST}").symlink_to("/nowhere")
    (folder / "process-of-nobody").write_bytes(b"")
    before = sorted(folder.iterdir())
    assert lent(store) == {}
    assert sorted(folder.iterdir()) == before


def test_the_oldest_are_dropped(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name, most_bytes=300) for name in ("older", "newer")]
    for number, store in enumerate(stores):
        store.folder.mkdir()
        loan = Loan(store)
        for name, age in ((FIRST, 4 - 2 * number), (SECOND, 3 - 2 * number)):
            file = loan.folder / name
            file.write_bytes(bytes(100))
            os.utime(file, (1e9 - age, 1e9 - age))
            loan.keep()
        loan.end()
    assert {*lent(stores[0])} == {SECOND}  # of four of 100 bytes, three have room
    assert {*lent(stores[1])} == {FIRST, SECOND}


def die(store: Store, *, after_an_epoch: bool) -> None:
    """A process with a loan is killed."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pipeline.training.compile_cache import Loan, Store\n"
        "loan = Loan(Store(Path(sys.argv[1])))\n"
        f"{after_an_epoch} and loan.keep()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run((sys.executable, "-c", program, store.folder), check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("after_an_epoch", [True, False])
def test_a_process_that_dies_before_an_epoch_has_ended_may_have_crashed(
    store: Store, after_an_epoch: bool
) -> None:
    alive = Loan(store)
    compiled(alive, FIRST)
    die(store, after_an_epoch=after_an_epoch)
    assert {*lent(store)} == ({FIRST} if after_an_epoch else set())
    assert alive.folder.exists()
    assert [*store.folder.glob("process-*")] == [alive.folder]
    alive.end()


def test_a_store_that_vanishes_harms_nothing(store: Store) -> None:
    loan = Loan(store)
    (loan.folder / FIRST).write_bytes(b"")
    for file in (*loan.folder.iterdir(), loan.folder, store.folder):
        file.rmdir() if file.is_dir() else file.unlink()
    loan.keep()
    loan.end()
    assert not store.folder.exists()


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of this process is on, in a folder of its own."""
    monkeypatch.delenv(NO_COMPILE_CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    compile_cache.loan.cache_clear()
    yield tmp_path / "home"
    if loan := compile_cache.loan():
        loan.end()
    compile_cache.loan.cache_clear()


def test_its_folder_is_the_users_alone(cache_home: Path) -> None:
    loan = compile_cache.loan()
    assert loan
    assert compile_cache.loan() is loan
    for folder in (loan.folder, *loan.folder.parents[:2]):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert loan.folder.parents[1] == cache_home / compile_cache.NAME
    assert compile_cache.in_doubt()
    compile_cache.keep()
    assert not compile_cache.in_doubt()
    assert not (loan.folder / UNPROVEN).exists()


@pytest.mark.parametrize("others", [0o770, 0o707])
def test_a_folder_that_others_can_write_to_is_not_used(
    cache_home: Path, others: int, capsys: pytest.CaptureFixture[str]
) -> None:
    root = cache_home / compile_cache.NAME
    root.mkdir(parents=True)
    root.chmod(others)
    assert compile_cache.loan() is None
    assert capsys.readouterr().out == (
        f"{root}: expected a folder that only you can write to; so all programs are compiled anew\n"
    )
    assert [*root.iterdir()] == []
    assert not compile_cache.in_doubt()


@pytest.mark.parametrize(
    ("home", "why"),
    [
        ("/dev/null", f"/dev/null/.cache/{compile_cache.NAME}: Not a directory"),
        ("/proc/home", "/proc/home: No such file or directory"),
    ],
)
def test_a_home_in_which_nothing_can_be_written(
    home: str,
    why: str,
    cache_home: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", home)
    assert compile_cache.loan() is None
    assert capsys.readouterr().out == f"{why}; so all programs are compiled anew\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can become somebody else")
def test_a_user_without_a_home() -> None:
    program = (
        "import os\n"
        "from pipeline.training import compile_cache\n"
        "os.setuid(54321)\n"
        "assert compile_cache.loan() is None\n"
    )
    environment = {name: value for name, value in os.environ.items() if name == "PATH"}
    done = subprocess.run(
        (sys.executable, "-c", program), env=environment, capture_output=True, text=True, check=True
    )
    assert "home directory" in done.stdout
    assert done.stdout.endswith("; so all programs are compiled anew\n")


def test_a_disk_that_is_nearly_full(store: Store) -> None:
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from pipeline.training.compile_cache import ROOM, Loan, Store\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM - 1, ROOM - 1))\n"
        "try:\n    Loan(Store(Path(sys.argv[1])))\n"
        "except OSError as error:\n    print(error.strerror)\n"
    )
    command = (sys.executable, "-c", program, store.folder)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"
    assert [*store.folder.iterdir()] == []


def train(
    workspace: Workspace, *arguments: str, command: str = "python -m pipeline.train"
) -> bytes:
    """The model."""
    workspace.run(*command.split(), *arguments)
    return (workspace.root / "models/model.keras").read_bytes()


@pytest.fixture
def kept(workspace: Workspace, tmp_path: Path) -> Callable[[], set[Path]]:
    """The programs in the cache that `workspace` gets for itself."""
    home = tmp_path / "home"
    workspace.variables["XDG_CACHE_HOME"] = str(home)
    return lambda: {*home.glob(f"{compile_cache.NAME}/*/*.pb")}


def test_seeds_rates_and_lengths_share_programs(
    workspace: Workspace, kept: Callable[[], set[Path]]
) -> None:
    workspace.set("model.mlp.dropout", 0.25)
    workspace.set("augment.shift", 1)
    first = train(workspace)
    programs = kept()
    assert len(programs) == 2  # an epoch, and a batch of validation images
    workspace.set("train.seed", 1)
    workspace.set("train.learning_rate", 0.02)
    workspace.set("train.epochs", 3)
    workspace.set("train.warmup_epochs", 1)
    second = train(workspace)
    assert second != first
    assert kept() == programs
    assert train(workspace, "--no-compile-cache") == second
    workspace.set("train.weight_decay", 0.125)
    train(workspace)
    assert len(kept()) == 3


@pytest.mark.long("pipeline/training", "pipeline/train.py")
def test_a_training_in_shards_shares_programs_too(
    workspace: Workspace, kept: Callable[[], set[Path]]
) -> None:
    together = "python -m pipeline.launch --workers 2 python -m pipeline.train"
    workspace.set("train.shards", 2)
    first = train(workspace, command=together)
    programs = kept()
    assert train(workspace, command=together) == first
    assert kept() == programs
    assert train(workspace, "--no-compile-cache") == first


@pytest.mark.long("pipeline/training", "pipeline/train.py")
def test_a_training_that_resumes_compiles_nothing(
    workspace: Workspace, kept: Callable[[], set[Path]]
) -> None:
    whole = train(workspace)
    programs = kept()
    training = workspace.start("python", "-m", "pipeline.train", stdout=subprocess.PIPE)
    assert training.stdout
    with training.stdout as output:
        for line in output:
            if line.startswith("epoch 2"):
                training.send_signal(signal.SIGKILL)
    training.wait()
    assert list((workspace.root / ".pipeline/checkpoints").iterdir())
    assert train(workspace) == whole
    assert kept() == programs

"""Programs that XLA has compiled, kept on disk for all trainings of a user.

TensorFlow can look for compiled programs in a folder, and leave new ones there. It takes one only
for the very program that it is about to compile, but does not ask whether its bytes are whole: with
a bit flipped at each of 151 places in turn, a program ended the process at 19, computed something
else at 9 and raised an error at 50. A file that it cannot write raises an error, too. So it gets a
folder of its own in each process, a `Loan`, with links to the programs of a `Store` whose digests
are right. What it adds goes to the store at the end of an epoch.

A store belongs to a version of TensorFlow, its flags and a processor. It is in the user's cache
folder and not in a repository, because experiments run in copies and clones of that.
"""

import atexit
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

from platformdirs import user_cache_path

from pipeline import machine
from pipeline.program import NO_COMPILE_CACHE
from pipeline.training import backend

NAME = "mnist-pipeline"  # of the folder in the user's cache folder
MOST_BYTES = 128 * 2**20  # of all programs; the oldest are dropped first. A network has 1 to 5 MiB
ROOM = 8 * 2**20  # bytes that must be free: a disk that gets full would end the training
PROGRAM = re.compile(r"([0-9a-f]{64})-(.+\.pb)")  # a file of a store: SHA-256, TensorFlow's name
UNPROVEN = "unproven"  # a file in a loan: no epoch has ended yet
ROUND = 100_000  # more than what tracing one program counts up


class Store:
    """A folder of compiled programs, files that are never changed.

    The name of each begins with the digest of its content, so none is ever without it.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        """In `folder`; together with those beside it, it keeps at most `most_bytes`."""
        self.folder = folder
        self.most_bytes = most_bytes

    def programs(self, folders: str = "") -> list[Path]:
        """The oldest first; of all stores beside this one if `folders` is `*`."""
        files = self.folder.parent.glob(f"{folders or self.folder.name}/*")
        dated = []
        for file in files:
            with suppress(OSError):  # another process has dropped it
                if PROGRAM.fullmatch(file.name):
                    dated.append((file.stat().st_mtime_ns, file))
        return [file for _, file in sorted(dated)]

    def add(self, program: Path) -> None:
        """Moves a file of TensorFlow's to here, and drops the oldest if there are too many."""
        program.replace(self.folder / f"{_digest(program)}-{program.name}")
        size = 0
        for file in reversed(self.programs("*")):
            with suppress(OSError):
                size += file.stat().st_size
                if size > self.most_bytes:
                    file.unlink()

    def link(self, target: Path) -> None:
        """Links all programs into the folder `target`, and removes the damaged ones."""
        for file in self.programs():
            digest, name = PROGRAM.fullmatch(file.name).groups()  # type: ignore[union-attr]
            with suppress(OSError):  # dropped meanwhile, unreadable, or there twice
                if _digest(file) == digest:
                    (target / name).hardlink_to(file)
                else:
                    file.unlink()
                    print(f"{file}: removed, it is damaged; it is compiled anew")

    def clear(self) -> None:
        """Removes all programs."""
        for file in self.programs():
            file.unlink(missing_ok=True)


class Loan:
    """A folder in which TensorFlow, in this process, finds programs of a store, and leaves others.

    A process that ends before its first epoch has, and without cleaning up, may have crashed in a
    program: the next one clears the store.
    """

    def __init__(self, store: Store) -> None:
        """A new folder below the one of `store`.

        Raises:
            OSError: the file system refuses, or has no room.
        """
        self.store = store
        with _locked(store.folder):
            for left in store.folder.glob("process-*"):
                with suppress(BlockingIOError), _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    if (left / UNPROVEN).exists():
                        store.clear()
                    shutil.rmtree(left, ignore_errors=True)
            self.folder = Path(tempfile.mkdtemp(prefix="process-", dir=store.folder))
            self.lock = os.open(self.folder, os.O_RDONLY)  # until this process ends
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            (self.folder / UNPROVEN).write_bytes(bytes(ROOM))
            os.truncate(self.folder / UNPROVEN, 0)
        except OSError:
            self.end()
            raise
        store.link(self.folder)
        self.known = {*self.folder.glob("*.pb")}

    def keep(self) -> None:
        """Puts into the store what TensorFlow has compiled; called once an epoch has ended."""
        with suppress(OSError):  # a full disk, or somebody has emptied the cache
            (self.folder / UNPROVEN).unlink(missing_ok=True)
            for program in {*self.folder.glob("*.pb")} - self.known:
                self.store.add(program)

    def end(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            os.close(self.lock)


@cache
def loan() -> Loan | None:
    """The one of this process, until it ends.

    None where the user wants none, or the file system refuses; then a line says why.
    """
    if os.environ.get(NO_COMPILE_CACHE):
        return None
    try:
        root = _own_folder(user_cache_path(NAME))
        begun = Loan(Store(_own_folder(root / _surroundings())))
    except OSError as error:
        why = f"{error.filename or NAME}: {error.strerror}"
    except RuntimeError as error:  # of platformdirs: the user has no home
        why = str(error)
    else:
        atexit.register(begun.end)
        return begun
    print(f"{why}; so all programs are compiled anew")
    return None


def start() -> None:
    """Starts TensorFlow, with the cache; see `backend.start`."""
    begun = loan()
    backend.start(programs=begun.folder if begun else None)


def keep() -> None:
    """Keeps what was compiled in this process; called once an epoch has ended."""
    if begun := loan():
        begun.keep()


def in_doubt() -> bool:
    """Whether the cache may be why TensorFlow failed: it is on, and no epoch has ended."""
    begun = loan()
    return begun is not None and (begun.folder / UNPROVEN).exists()


def number_afresh() -> None:
    """Makes the names in the program that is being traced the same in every process.

    TensorFlow adds to the names of functions and loops how many things it has counted so far,
    which depends on what else a process has done, such as to read a checkpoint; and the names are
    part of a program. So this counts up to a round number. It never counts down: nothing else gets
    the same number.
    """
    from tensorflow.python.framework.ops import uid

    while uid() % ROUND:
        pass


def _surroundings() -> str:
    """A digest of what a compiled program depends on, apart from the program."""
    facts = (
        version("tensorflow"),
        backend.XLA_FLAGS,
        backend.processor(),
        backend.instructions(),
        str(machine.cores()),
    )
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _own_folder(path: Path) -> Path:
    """`path`, a folder to which nobody else can write: what is in it gets executed.

    Raises:
        OSError: it cannot be made, or others can write to it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or writable:
        raise PermissionError(None, "expected a folder that only you can write to", str(path))
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Holds the lock of `folder`; the system drops it with the process."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, how)
        yield
    finally:
        os.close(lock)

"""What a node of a cluster does with an experiment: a clone, what it needs, a run, and a push.

Ray carries this module to the nodes by value, so it imports nothing of the project. A node keeps
one DVC cache for all its experiments, and removes the clones that lost their process.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

LOOK = 1  # seconds between two looks at a process
PR_SET_PDEATHSIG = 1  # linux/prctl.h
GIT = ("git", "-c", f"core.hooksPath={os.devnull}")
DECISIVE = ("dvc", "keras", "numpy", "tensorflow")  # packages that decide on the results
NOT_OURS = ("OMP_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV")  # variables that Ray or its user set


@dataclass(frozen=True)
class Job:
    """An experiment to run."""

    name: str
    commit: str
    ref: str  # of the git remote, where no branch or tag contains the commit; else empty
    git_url: str
    changes: Sequence[str]  # arguments of dvc exp run
    environment: Mapping[str, str]
    versions: Mapping[str, str]  # of the packages that decide on the results


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    where: str  # the address of the node
    failed: str  # the step that failed, empty if none did
    output: str  # of all steps


class Board:
    """An actor: where each experiment runs, and how far it is."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[str, str]] = {}

    def say(self, name: str, where: str, text: str) -> None:
        """Replaces what is known of an experiment.

        Args:
            name: of the experiment.
            where: the address of the node.
            text: the lines of its epochs.
        """
        self.said[name] = where, text

    def read(self) -> dict[str, tuple[str, str]]:
        """What was said last of each."""
        return self.said


def experiment(job: Job, board: Any) -> Outcome:  # noqa: ANN401, Ray has no type for it
    """Runs `job` in a clone of its own, and pushes what comes out.

    Its commit goes to the git remote, its outputs to DVC's default remote. A failure is an outcome
    and no exception, so that Ray repeats only what lost its machine.
    """
    import ray

    where: str = ray.util.get_node_ip_address()
    board.say.remote(job.name, where, "")
    if (mine := versions()) != dict(job.versions):
        return Outcome(where, "the comparison of packages", _difference(mine, job.versions))
    with _clone_of(_own_folder(where)) as folder:
        output = folder / "output"
        for step, command in _steps(job, folder):
            with _started(command, _environment(job, folder), output) as process:
                while True:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK)
                        break
                    board.say.remote(job.name, where, _epochs(output))
            if process.returncode:
                return Outcome(where, step, _text(output))
        return Outcome(where, "", _text(output))


def versions() -> dict[str, str]:
    """Of Python, and of the packages that decide on the results, where they are installed."""
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for name in DECISIVE:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _difference(mine: Mapping[str, str], others: Mapping[str, str]) -> str:
    """Which versions differ, in one line."""
    different = [
        f"{name} {mine.get(name, 'missing')} instead of {others.get(name, 'none')}"
        for name in sorted({*mine, *others})
        if mine.get(name) != others.get(name)
    ]
    return f"this node has {', '.join(different)}; make setup there, and ray start again\n"


def _steps(job: Job, folder: Path) -> list[tuple[str, Sequence[str]]]:
    """The commands, each with what it is called when it fails."""
    clone, cache = folder / "clone", folder.parents[1] / "cache"
    git = (*GIT, "-C", str(clone))
    dvc = (sys.executable, "-P", "-m", "dvc", "--cd", str(clone))
    fetch = (*git, "fetch", "--quiet", "origin", job.ref)
    # DVC's configuration is in git's format, and git writes it a second faster.
    local = ("config", "--file", f"{clone}/.dvc/config.local")
    return [
        ("git clone", (*GIT, "clone", "--quiet", "--no-checkout", job.git_url, str(clone))),
        *([("git fetch", fetch)] if job.ref else []),
        ("git checkout", (*git, "checkout", "--quiet", "--detach", job.commit)),
        ("git config", (*git, *local, "cache.dir", str(cache))),
        ("dvc pull", (*dvc, "pull", "--quiet", "--run-cache", "--allow-missing")),
        ("dvc exp run", (*dvc, "exp", "run", "--name", job.name, *job.changes)),
        ("dvc exp push", (*dvc, "exp", "push", "--force", "origin", job.name)),
    ]


def _environment(job: Job, folder: Path) -> dict[str, str]:
    """Of the commands: stages call `python`, which is the one that Ray was started with."""
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    return {
        **inherited,
        **job.environment,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),  # what DVC notes of a folder goes with it
    }


@contextmanager
def _started(
    command: Sequence[str], environment: Mapping[str, str], output: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, and if this process is killed.

    Args:
        command: to run.
        environment: its variables.
        output: the file to which its output is added.
    """
    with (
        output.open("ab") as file,
        subprocess.Popen(  # noqa: S603, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509, it allocates nothing
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _die_with_parent() -> None:
    """Only Linux can do this."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _own_folder(where: str) -> Path:
    """The folder of this node, where nobody else can write."""
    shared = Path(tempfile.gettempdir(), f"pipeline-experiments-{os.getuid()}")
    shared.mkdir(mode=0o700, exist_ok=True)
    if shared.is_symlink() or shared.stat().st_uid != os.getuid():
        raise PermissionError(f"{shared} belongs to somebody else; set TMPDIR for ray start")
    folder = shared / where.replace(":", "-")
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _clone_of(folder: Path) -> Iterator[Path]:
    """A folder for a clone below that of the node, removed afterwards.

    Those whose process was killed are removed first: nothing holds their locks.
    """
    clones = folder / "clones"
    clones.mkdir(exist_ok=True)
    with _locked(clones):
        for left in clones.iterdir():
            with suppress(BlockingIOError), _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(left, ignore_errors=True)
        own = Path(tempfile.mkdtemp(dir=clones))
        lock = os.open(own, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
        os.close(lock)


@contextmanager
def _locked(folder: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Holds the lock of `folder`; the system drops it with the process."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, how)
        yield
    finally:
        os.close(lock)


def _text(output: Path) -> str:
    return output.read_text(encoding="utf-8", errors="replace")


def _epochs(output: Path) -> str:
    """The lines of the epochs, which are what progress is shown by."""
    return "".join(
        line for line in _text(output).splitlines(keepends=True) if line.startswith("epoch ")
    )

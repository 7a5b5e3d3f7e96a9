"""Many experiments through DVC's queue, each in a folder of its own on this machine."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

from experiments import logs, results, sets
from experiments.progress import Display, Watch
from pipeline.errors import InputError
from pipeline.repository import DVC, dvc, git

LOOK = 2  # seconds between two looks at what runs and what has finished
ASK = 20  # seconds between two questions to DVC, which takes a second to answer
PATIENCE = 6  # answers without a worker: a busy one does not always answer in time
NO_WORKER = "Worker status: 0 active, 0 idle"  # in the words of `dvc queue status`
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
QUEUED = "{} of {} were queued: run this again to go on, or dvc queue remove --queued to stop"
GOES_ON = (
    "DVC's queue goes on: run this again to watch it, dvc queue stop --kill to end it,\n"
    "and then dvc queue remove --queued to drop what it had not begun"
)


def run(wanted: Mapping[str, sets.Flat], epochs: Mapping[str, int], jobs: int) -> dict[str, str]:
    """Runs what is `wanted`, by name, and waits for all of it.

    Args:
        wanted: the parameters of each experiment.
        epochs: of each, and of those of the batch that were there before.
        jobs: how many at once.

    Returns:
        Why they failed, by the names of those that did.
    """
    watch = Watch(epochs, partial(logs.latest, git("rev-parse", "HEAD")), jobs)
    with Display("asking DVC what is in its queue") as display:
        _queue(wanted, display)
        _wait(set(wanted), jobs, watch, display)
    there = results.finished()
    return {name: _failure(name, watch.reason(name)) for name in wanted if name not in there}


def _failure(name: str, reason: str) -> str:
    said = f": {reason}" if reason else ""
    return f"{name}: failed{said}; its output: dvc queue logs {name}"


def _queue(wanted: Mapping[str, sets.Flat], display: Display) -> None:
    """Puts into DVC's queue what is not there yet.

    Raises:
        InputError: DVC fails.
    """
    queued, _ = _queued()
    todo = [name for name in wanted if name not in queued]
    number = 0
    with _saying(display, lambda: QUEUED.format(number, len(todo))):
        for number, name in enumerate(todo, start=1):
            display.show(f"queueing {number}/{len(todo)}", [name], "", number / len(todo))
            changes = sets.changes(wanted[name], sets.here())
            command = ("exp", "run", "--queue", "--name", name, *changes)
            # Meanwhile DVC keeps what is not committed in this folder in git's stash.
            with _signals_wait():
                dvc(*command, own_session=True)


def _start(jobs: int) -> None:
    """Starts DVC's workers. They outlive this program, so nothing waits for their output to end.

    Raises:
        InputError: DVC fails.
    """
    command = (*DVC, "queue", "start", "--jobs", str(jobs))
    with _signals_wait():
        done = subprocess.run(  # noqa: S603, no shell
            command, stdout=subprocess.DEVNULL, start_new_session=True, check=False
        )
    if done.returncode:
        raise InputError("dvc queue start: failed, see above")


def _wait(names: set[str], jobs: int, watch: Watch, display: Display) -> None:
    """Starts workers, and shows what runs until each of `names` has ended, or DVC lost the rest."""
    left, failed, asked, silent = names, set[str](), time.monotonic(), 0
    with _saying(display, lambda: GOES_ON):
        _start(jobs)
        while left - failed:
            time.sleep(LOOK)
            watch.look()  # before the results: what has ended well is among them by then
            there = results.finished()
            for name in sorted(left & there.keys()):
                display.keep(results.line(there[name]))
            left = left - there.keys()
            for name in sorted(watch.failed(left) - failed):
                failed.add(name)
                display.keep(f"failed  {name}")
            watch.show(display, left)
            if left - failed and time.monotonic() - asked > ASK:
                queued, worked_on = _queued()
                silent = 0 if left & queued and worked_on else silent + 1
                if silent == PATIENCE:
                    if not left & queued:
                        return
                    _start(jobs)  # DVC starts none while one is about to end
                    silent = 0
                asked = time.monotonic()


def _queued() -> tuple[set[str], bool]:
    """The experiments of the current commit that DVC has yet to finish, and if it has a worker."""
    status = dvc("queue", "status")
    head = git("rev-parse", "HEAD")
    ours = {name for task, name in waiting(status).items() if _parent(task) == head}
    return ours, NO_WORKER not in status


def _parent(commit: str) -> str:
    """The commit before `commit`, nothing if git has removed it meanwhile."""
    with suppress(InputError):
        return git("rev-parse", f"{commit}^")
    return ""


def waiting(status: str) -> dict[str, str]:
    """The experiments that DVC has yet to finish, from what `dvc queue status` prints.

    It reports the experiment of a worker that was killed as running for ever.

    Returns:
        Their names by their tasks: commits in git's stash, whose parents they belong to.
    """
    alive = {"Queued"} if NO_WORKER in status else {"Queued", "Running"}
    lines = map(str.split, status.splitlines())
    return {words[0]: words[1] for words in lines if words and words[-1] in alive}


@contextmanager
def _saying(display: Display, last_word: Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C, says how things stand before this program ends."""
    try:
        yield
    except KeyboardInterrupt:
        display.close()
        print(last_word(), file=sys.stderr)
        raise


@contextmanager
def _signals_wait() -> Iterator[None]:
    """A signal that would stop this program takes effect after the block."""
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, note) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])

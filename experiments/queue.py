"""Many runs through DVC's queue, each in a folder of its own, and their results.

A run is called NAME-seed-N after its set of parameters, and belongs to the commit that is checked
out. One that exists already is not run again.
"""

import signal
import subprocess
import sys
import time
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments import logs, sets
from experiments.progress import Display, Watch
from pipeline import paths
from pipeline.errors import InputError, TrainingError
from pipeline.gate.freshness import check_lock, check_status
from pipeline.records import read_history, read_json
from pipeline.repository import (
    DVC,
    WORKING_TREE,
    Commit,
    Source,
    dvc,
    find_commit,
    git,
    tracked_files,
)

LOOK = 2  # seconds between two looks at what runs and what has finished
ASK = 20  # seconds between two questions to DVC, which takes a second to answer
PATIENCE = 6  # answers without a worker: a busy one does not always answer in time
COMMITTED = "(committed)"  # stands for a name; DVC's have no parentheses
HERE = "(here)"  # likewise
NO_WORKER = "Worker status: 0 active, 0 idle"  # in the words of `dvc queue status`
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
QUEUED = "{} of {} were queued: run this again to go on, or dvc queue remove --queued to stop"
GOES_ON = (
    "DVC's queue goes on: run this again to watch it, dvc queue stop --kill to end it,\n"
    "and then dvc queue remove --queued to drop what it had not begun"
)


@dataclass(frozen=True)
class Run:
    """A finished experiment: a commit with its parameters and its metrics."""

    name: str
    commit: Commit | Source

    def params(self) -> sets.Flat:
        """The values of its params.yaml by their keys."""
        return sets.values(self.commit.read(paths.PARAMS), f"{self.name}:{paths.PARAMS}")

    def history(self) -> dict[str, NDArray[np.float64]]:
        """The columns of its history.csv, (epochs,) each."""
        return read_history(self.commit.read(paths.HISTORY), f"{self.name}:{paths.HISTORY}")

    def accuracy(self) -> float:
        """On the test images."""
        return float(self._metrics(paths.EVALUATE_METRICS)["accuracy"])

    def weights(self) -> int:
        """The number of weights of its network."""
        return int(self._metrics(paths.TRAIN_METRICS)["weights"])

    def seconds(self) -> float | None:
        """Of all its epochs, if it was trained here; None if DVC took it from a cache."""
        return logs.training_seconds(dvc("queue", "logs", self.name, check=False))

    def _metrics(self, path: Path) -> dict[str, Any]:
        return read_json(self.commit.read(path), f"{self.name}:{path}")


def finished() -> dict[str, Run]:
    """The experiments of the commit that is checked out, by name."""
    return _experiments().get(git("rev-parse", "HEAD"), {})


def finished_before() -> dict[str, Run]:
    """The experiments of the commits before it, by name; of the latest that has the name."""
    experiments = _experiments()
    found: dict[str, Run] = {}
    for commit in git("rev-list", "HEAD").splitlines()[1:]:
        found = experiments.get(commit, {}) | found
    return found


def _experiments() -> dict[str, dict[str, Run]]:
    """All experiments, by the commit that they belong to and by name."""
    found: dict[str, dict[str, Run]] = {}
    refs = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps/*/*/*")
    for ref, commit in map(str.split, refs.splitlines()):
        *_, first, rest, name = ref.split("/")
        found.setdefault(first + rest, {})[name] = Run(name, Commit(name, commit))
    return found


def count(text: str) -> int:
    """A number on the command line, how many of something.

    Raises:
        ArgumentTypeError: it is none, or below 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"found {text}, expected a whole number of at least 1")
    return int(text)


def committed() -> list[Run]:
    """The run whose results are committed, as a list of one, or of none."""
    head = find_commit("HEAD")
    there = all(map(head.contains, (paths.HISTORY, paths.TRAIN_METRICS, paths.EVALUATE_METRICS)))
    return [Run(COMMITTED, head)] if there else []


def here(others: Sequence[Run]) -> list[Run]:
    """The run whose results are in this folder, as a list of one.

    Of none if they are stale, or those of one of `others`.
    """
    run = Run(HERE, WORKING_TREE)
    try:
        check_lock(WORKING_TREE, tracked_files())
        check_status()
        same = any(
            run.params() == other.params()
            and run.commit.read(paths.HISTORY) == other.commit.read(paths.HISTORY)
            for other in others
        )
    except InputError:
        return []
    return [] if same else [run]


def run_all(names: list[str], seeds: Sequence[int], jobs: int) -> dict[str, list[Run]]:
    """Runs each set in `names` with each of `seeds`, and waits for all of them.

    Args:
        names: of sets in sets.yaml.
        seeds: values of train.seed.
        jobs: how many at once.

    Returns:
        The runs of each set, in the order of `seeds`.

    Raises:
        InputError: an experiment of that name has other parameters.
        TrainingError: one failed.
    """
    wanted = {f"{name}-seed-{seed}": sets.settings(name, seed) for name in names for seed in seeds}
    there = finished()
    for name in wanted.keys() & there.keys():
        check(there[name], wanted[name])
    if left := {name: one for name, one in wanted.items() if name not in there}:
        epochs = {name: _epochs(one) for name, one in wanted.items()}
        watch = Watch(epochs, git("rev-parse", "HEAD"), jobs)
        with Display() as display:
            _queue(left, display)
            _wait(set(left), jobs, watch, display)
        there = finished()
        if failed := [name for name in left if name not in there]:
            raise TrainingError("\n".join(_failure(name, watch.reason(name)) for name in failed))
    return {name: [there[f"{name}-seed-{seed}"] for seed in seeds] for name in names}


def check(run: Run, wanted: sets.Flat) -> None:
    """Checks that `run` is one with the parameters `wanted`.

    Raises:
        InputError: it has others.
    """
    params = run.params()
    for key, value in wanted.items():
        if params.get(key) != value:
            raise InputError(
                f"{run.name}: already exists with {key} {params.get(key)}, expected {value}; "
                f"remove it: dvc exp remove {run.name}"
            )


def _epochs(wanted: sets.Flat) -> int:
    """How many it trains; 0 if that is no number, which the stages will report."""
    value = wanted["train.epochs"]
    return value if isinstance(value, int) else 0


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
            command = ("exp", "run", "--queue", "--name", name, *sets.changes(wanted[name]))
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
            there = finished()
            for name in sorted(left & there.keys()):
                display.keep(f"done  {name}  {there[name].accuracy():.2%} on the test images")
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

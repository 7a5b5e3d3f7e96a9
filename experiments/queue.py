"""Many runs through DVC's queue, each in a folder of its own, and what came out.

A run is called NAME-seed-N after its set of parameters, and belongs to the commit that is checked
out. One that is there is not run again.
"""

import csv
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from experiments import sets
from pipeline import paths
from pipeline.errors import InputError, TrainingError
from pipeline.revision import Revision, git

LOOK = 2  # seconds between two looks at what has finished
ASK = 20  # seconds between two questions to DVC, each of which takes it a second
PATIENCE = 6  # answers that no worker is at it: a busy one does not always answer in time
NO_WORKER = "Worker status: 0 active, 0 idle"  # in the words of `dvc queue status`


@dataclass(frozen=True)
class Run:
    """A finished experiment: a commit of DVC's, with the parameters and the metrics in it."""

    name: str
    revision: Revision

    def params(self) -> sets.Flat:
        """Its params.yaml, by section.key."""
        return sets.flat(self.revision.read(paths.PARAMS), f"{self.name}:{paths.PARAMS}")

    def history(self) -> dict[str, list[float]]:
        """The columns of its history.csv, a value for each epoch."""
        text = self.revision.read(paths.HISTORY).decode()
        rows = list(csv.DictReader(StringIO(text)))
        return {name: [float(row[name]) for row in rows] for name in rows[0]}

    def accuracy(self) -> float:
        """On the test images."""
        return float(json.loads(self.revision.read(paths.EVALUATE_METRICS))["accuracy"])

    def weights(self) -> int:
        """Numbers that its network consists of."""
        return int(json.loads(self.revision.read(paths.TRAIN_METRICS))["weights"])

    def seconds(self) -> float | None:
        """Of all its epochs, if it was trained here; None if DVC took it from a cache."""
        return training_seconds(_dvc("queue", "logs", self.name, check=False))


def training_seconds(log: str) -> float | None:
    """The sum over the epochs that a stage has told of, None where one is missing."""
    found = re.findall(r"^epoch +(\d+)/(\d+) .* ([\d.]+) s$", log, re.MULTILINE)
    if not found or len(found) != int(found[0][1]):
        return None
    return sum(float(seconds) for _, _, seconds in found)


def finished() -> dict[str, Run]:
    """The experiments of the commit that is checked out, by name."""
    head = git("rev-parse", "HEAD")
    folder = f"refs/exps/{head[:2]}/{head[2:]}/"
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", folder).splitlines()
    pairs = (line.removeprefix(folder).split() for line in lines)
    return {name: Run(name, Revision(name, commit)) for name, commit in pairs}


def run_all(names: list[str], seeds: Sequence[int], jobs: int) -> dict[str, list[Run]]:
    """Runs each set of `names` with each of `seeds`, and waits for all of them.

    Args:
        names: of sets.
        seeds: values of train.seed.
        jobs: how many at once.

    Returns:
        The runs of each set, in the order of `seeds`.

    Raises:
        InputError: an experiment has such a name, but other parameters.
        TrainingError: one failed.
    """
    wanted = {f"{name}-seed-{seed}": sets.settings(name, seed) for name in names for seed in seeds}
    there, queued = finished(), waiting(_dvc("queue", "status"))
    for name in wanted.keys() & there.keys():
        _check(there[name], wanted[name])
    todo = [name for name in wanted if name not in there and name not in queued]
    for number, name in enumerate(todo, start=1):
        print(f"queue {number}/{len(todo)}  {name}", flush=True)
        _dvc("exp", "run", "--queue", "--name", name, *sets.changes(wanted[name]))
    if wanted.keys() - there.keys():
        _start(jobs)
        for name in _as_they_finish(set(wanted) - set(there), jobs):
            print(f"done  {name}", flush=True)
    there = finished()
    if failed := [name for name in wanted if name not in there]:
        raise TrainingError(
            "\n".join(f"{name}: failed; see why: dvc queue logs {name}" for name in failed)
        )
    return {name: [there[f"{name}-seed-{seed}"] for seed in seeds] for name in names}


def _start(jobs: int) -> None:
    """Starts DVC's workers, which live on, so that nothing may wait for the end of their output.

    Raises:
        InputError: DVC fails.
    """
    command = ("dvc", "queue", "start", "--jobs", str(jobs))
    done = subprocess.run(  # noqa: S603
        (sys.executable, "-m", *command), stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise InputError(f"{' '.join(command)}: failed, see above")


def _check(run: Run, wanted: sets.Flat) -> None:
    found = run.params()
    for key, value in wanted.items():
        if found.get(key) != value:
            raise InputError(
                f"{run.name}: is there with {key} {found.get(key)}, expected {value}; "
                f"take it away: dvc exp remove {run.name}"
            )


def _as_they_finish(names: set[str], jobs: int) -> Iterator[str]:
    """Each of `names` when it has finished, until none of the rest is waited for any more."""
    left, asked, silent = set(names), time.monotonic(), 0
    while left:
        time.sleep(LOOK)
        done = left & finished().keys()
        yield from sorted(done)
        left -= done
        if left and time.monotonic() - asked > ASK:
            status = _dvc("queue", "status")
            queued = left & waiting(status)
            silent = 0 if queued and NO_WORKER not in status else silent + 1
            if silent == PATIENCE:
                if not queued:
                    return
                _start(jobs)  # DVC starts none beside one that is about to end
                silent = 0
            asked = time.monotonic()


def waiting(status: str) -> set[str]:
    """The experiments that DVC has yet to finish, from what `dvc queue status` prints.

    Of a worker that was killed it says for ever that its experiment is running.
    """
    alive = {"Queued"} if NO_WORKER in status else {"Queued", "Running"}
    lines = map(str.split, status.splitlines())
    return {words[1] for words in lines if words and words[-1] in alive}


def _dvc(*arguments: str, check: bool = True) -> str:
    """What DVC prints.

    Raises:
        InputError: it fails.
    """
    command = (sys.executable, "-m", "dvc", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if check and done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise InputError(f"dvc {' '.join(arguments[:3])}: {said}")
    return done.stdout

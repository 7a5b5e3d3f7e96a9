"""Many runs through DVC's queue, each in a folder of its own, and their results.

A run is called NAME-seed-N after its set of parameters, and belongs to the commit that is checked
out. One that exists already is not run again.
"""

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments import sets
from pipeline import paths
from pipeline.errors import InputError, TrainingError
from pipeline.records import read_history, read_json
from pipeline.repository import DVC, Commit, dvc, git

LOOK = 2  # seconds between two looks at what has finished
ASK = 20  # seconds between two questions to DVC, which takes a second to answer
PATIENCE = 6  # answers without a worker: a busy one does not always answer in time
NO_WORKER = "Worker status: 0 active, 0 idle"  # in the words of `dvc queue status`


@dataclass(frozen=True)
class Run:
    """A finished experiment: a commit with its parameters and its metrics."""

    name: str
    commit: Commit

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
        return training_seconds(dvc("queue", "logs", self.name, check=False))

    def _metrics(self, path: Path) -> dict[str, Any]:
        return read_json(self.commit.read(path), f"{self.name}:{path}")


def training_seconds(log: str) -> float | None:
    """The sum over the epochs in the log of a stage, None if one is missing."""
    epochs = re.findall(r"^epoch +(\d+)/(\d+) .* ([\d.]+) s$", log, re.MULTILINE)
    if not epochs or len(epochs) != int(epochs[0][1]):
        return None
    return sum(float(seconds) for _, _, seconds in epochs)


def finished() -> dict[str, Run]:
    """The experiments of the commit that is checked out, by name."""
    head = git("rev-parse", "HEAD")
    folder = f"refs/exps/{head[:2]}/{head[2:]}/"
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", folder).splitlines()
    pairs = (line.removeprefix(folder).split() for line in lines)
    return {name: Run(name, Commit(name, commit)) for name, commit in pairs}


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
    there, queued = finished(), waiting(dvc("queue", "status"))
    for name in wanted.keys() & there.keys():
        _check(there[name], wanted[name])
    todo = [name for name in wanted if name not in there and name not in queued]
    for number, name in enumerate(todo, start=1):
        print(f"queue {number}/{len(todo)}  {name}", flush=True)
        dvc("exp", "run", "--queue", "--name", name, *sets.changes(wanted[name]))
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
    """Starts DVC's workers. They outlive this program, so nothing waits for their output to end.

    Raises:
        InputError: DVC fails.
    """
    command = (*DVC, "queue", "start", "--jobs", str(jobs))
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:  # noqa: S603
        raise InputError("dvc queue start: failed, see above")


def _check(run: Run, wanted: sets.Flat) -> None:
    params = run.params()
    for key, value in wanted.items():
        if params.get(key) != value:
            raise InputError(
                f"{run.name}: already exists with {key} {params.get(key)}, expected {value}; "
                f"remove it: dvc exp remove {run.name}"
            )


def _as_they_finish(names: set[str], jobs: int) -> Iterator[str]:
    """Each of `names` as it finishes, until no worker is left for the rest."""
    left, asked, silent = set(names), time.monotonic(), 0
    while left:
        time.sleep(LOOK)
        done = left & finished().keys()
        yield from sorted(done)
        left -= done
        if left and time.monotonic() - asked > ASK:
            status = dvc("queue", "status")
            queued = left & waiting(status)
            silent = 0 if queued and NO_WORKER not in status else silent + 1
            if silent == PATIENCE:
                if not queued:
                    return
                _start(jobs)  # DVC starts none while one is about to end
                silent = 0
            asked = time.monotonic()


def waiting(status: str) -> set[str]:
    """The experiments that DVC has yet to finish, from what `dvc queue status` prints.

    It reports the experiment of a worker that was killed as running for ever.
    """
    alive = {"Queued"} if NO_WORKER in status else {"Queued", "Running"}
    lines = map(str.split, status.splitlines())
    return {words[1] for words in lines if words and words[-1] in alive}

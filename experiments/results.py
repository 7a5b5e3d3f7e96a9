"""The results of experiments: commits that DVC keeps beside the branches, and the run here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments import logs, sets
from pipeline import paths
from pipeline.errors import InputError
from pipeline.gate.freshness import check_lock, check_status
from pipeline.records import read_history, read_json
from pipeline.repository import (
    WORKING_TREE,
    Commit,
    Source,
    dvc,
    find_commit,
    git,
    tracked_files,
)

COMMITTED = "(committed)"  # stands for a name; DVC's have no parentheses
HERE = "(here)"  # likewise


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

    def final(self) -> dict[str, float]:
        """What history.csv says of the epoch whose weights are the model, by column."""
        return {key: float(one) for key, one in self._metrics(paths.TRAIN_METRICS)["final"].items()}

    def accuracy(self) -> float:
        """On the test images."""
        return float(self._metrics(paths.EVALUATE_METRICS)["accuracy"])

    def weights(self) -> int:
        """The number of weights of its network."""
        return int(self._metrics(paths.TRAIN_METRICS)["weights"])

    def seconds(self) -> float | None:
        """Of all its epochs, if it was trained for us; None if DVC took it from a cache."""
        task = logs.task(self.commit.hash) if isinstance(self.commit, Commit) else None
        text = task.read_text(encoding="utf-8") if task and task.exists() else None
        return logs.training_seconds(text or dvc("queue", "logs", self.name, check=False))

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


def line(run: Run, where: str = "") -> str:
    """What is printed of a run when it has ended, and `where` it ran if not here."""
    return f"done  {run.name}  {run.accuracy():.2%} on the test images{where}"


def check(run: Run, wanted: sets.Flat, remedy: str = "") -> None:
    """Checks that `run` is one with the parameters `wanted`.

    Args:
        run: an experiment.
        wanted: its parameters.
        remedy: the command that removes it, if it is not here.

    Raises:
        InputError: it has others.
    """
    params = run.params()
    for key, value in wanted.items():
        if params.get(key) != value:
            raise InputError(
                f"{run.name}: already exists with {key} {params.get(key)}, expected {value}; "
                f"remove it: {remedy or f'dvc exp remove {run.name}'}"
            )

"""The output of experiments, as DVC's queue or a task of a cluster wrote it.

Those of the queue are internal files of DVC 3.67. `dvc queue status` and `dvc queue logs` tell the
same, but take a second or more. Only what is shown depends on the files: where they are missing or
look different, less is shown.
"""

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline import paths

RUNS = Path(".dvc/tmp/exps/run")  # a folder for each run, named by its revision
TASKS = paths.STATE / "experiments"  # the output of those that a cluster ran
FAILED = 4  # the first state after the end: dvc.repo.experiments.executor.base.TaskStatus
STOPPED = re.compile(r"^stopped after epoch (\d+):", re.MULTILINE)
EPOCH = re.compile(r"^epoch +(\d+)/(\d+) .* ([\d.]+) s$", re.MULTILINE)
ERROR = re.compile(r"^ERROR: (failed to reproduce '(.+?)'.*)", re.MULTILINE)


@dataclass(frozen=True)
class Log:
    """The last run of an experiment in the queue."""

    name: str
    path: Path  # without a suffix
    ended: bool
    where: str = ""  # the machine, if it is another one

    def text(self) -> str:
        """The output of DVC and the stages so far."""
        try:
            return self.path.with_suffix(".out").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def running(self) -> bool:
        """Whether it is being prepared, runs, or is being collected."""
        if self.ended:
            return False
        try:
            os.kill(int(self.path.with_suffix(".pid").read_text(encoding="utf-8")), 0)
        except ProcessLookupError:
            return False  # it was killed together with its worker
        except (OSError, ValueError):
            pass  # being prepared
        return True


def task(name: str) -> Path:
    """The output of the task that ran an experiment, by its commit; by its name if it failed."""
    return TASKS / f"{name}.out"


def latest(commit: str) -> dict[str, Log]:
    """The last run of each experiment of `commit`, by name."""
    found = {}
    for path in sorted(RUNS.glob("*/*.run"), key=_modified):
        with suppress(OSError, ValueError, TypeError, KeyError):
            info = json.loads(path.read_text(encoding="utf-8"))
            if info["baseline_rev"] == commit:
                log = Log(str(info["name"]), path.with_suffix(""), info["status"] >= FAILED)
                found[log.name] = log
    return found


def epoch_seconds(text: str) -> list[float]:
    """The seconds of each epoch in the output of a run. The first include compilation."""
    return [float(seconds) for _, _, seconds in EPOCH.findall(text)]


def last_epoch(text: str) -> int:
    """The number of the last finished epoch, 0 if there is none."""
    numbers = [int(number) for number, _, _ in EPOCH.findall(text)]
    return max(numbers, default=0)


def training_seconds(text: str) -> float | None:
    """The sum over the epochs in the output of a run, None if one is missing."""
    epochs = EPOCH.findall(text)
    if not epochs:
        return None
    stopped = STOPPED.search(text)
    if len(epochs) != int(stopped[1] if stopped else epochs[0][1]):
        return None
    return sum(epoch_seconds(text))


def reason(text: str) -> str:
    """Why a run failed, in the words of the stage if it said so, else in those of DVC."""
    error = ERROR.search(text)
    if not error:
        return ""
    lines = text[: error.start()].rpartition(f"Running stage '{error[2]}':")[2].split("\n")
    own = [number for number, line in enumerate(lines) if line.startswith(f"{error[2]}: ")]
    if own:
        return "\n".join(lines[own[-1] :]).rstrip()
    if any(line.startswith("Traceback ") for line in lines):
        return next(filter(None, reversed(lines)))
    return error[1]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0

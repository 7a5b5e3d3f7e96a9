"""Shows how far a batch of experiments is: a line for each that ends, and what runs now.

On a terminal, what runs now, its epoch and the time left are a line with a bar, renewed in its
place; anywhere else, a line now and then.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from types import TracebackType
from typing import NoReturn, Protocol, Self

from tqdm import tqdm

from experiments import logs

SELDOM = 60  # seconds between two lines on what runs, in a log
WIDTH = 80  # columns of a terminal that does not tell
BAR = "{desc} |{bar}|"
SPARE = 3  # columns for the ^C that a terminal shows; at its last one it may go to the next line


def columns() -> int:
    """The width of the terminal, or of a usual one if it does not tell."""
    return os.get_terminal_size(sys.stdout.fileno()).columns or WIDTH


class Display:
    """Lines that stay, and on a terminal below them one with a bar that changes."""

    def __init__(self, first: str) -> None:
        """With `first` as what is shown until there is more to tell."""
        self.bar: tqdm[NoReturn] | None = None
        self.shown = -float(SELDOM)
        if sys.stdout.isatty():
            self.bar = tqdm(
                desc=first,
                total=1,
                bar_format=BAR,
                file=sys.stdout,
                leave=False,
                ncols=columns() - SPARE,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Clears the line that changes."""
        if self.bar is not None:
            self.bar.close()

    def keep(self, line: str) -> None:
        """Prints a line that stays."""
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.write(line, file=sys.stdout)

    def show(self, head: str, running: Sequence[str], tail: str, share: float) -> None:
        """Renews the line that changes.

        Args:
            head: how much is done.
            running: what runs now; as many as fit are shown.
            tail: the time left, or nothing.
            share: of the bar that is full.
        """
        if self.bar is not None:
            self.bar.ncols = columns() - SPARE
            line = fitting(head, running, tail, self.bar.ncols)
            self.bar.bar_format = BAR if len(line) + len(" |=|") <= self.bar.ncols else "{desc}"
            self.bar.set_description_str(line, refresh=False)
            self.bar.n = share
            self.bar.refresh()
        elif time.monotonic() - self.shown >= SELDOM:
            self.shown = time.monotonic()
            print(fitting(head, running, tail, sys.maxsize), flush=True)


def fitting(head: str, running: Sequence[str], tail: str, width: int) -> str:
    """`head`, `running` and `tail` in one line; where `width` is too little, fewer of `running`."""
    for count in range(len(running), -1, -1):
        more = len(running) - count
        rest = [f"{more} more" if count else f"{more} running"] if more else []
        line = ", ".join(filter(None, [head, *running[:count], *rest, tail]))
        if len(line) <= width:
            break
    return line


class Log(Protocol):
    """A run of an experiment, as far as it has come."""

    @property
    def path(self) -> Path:
        """What tells it from other runs of that experiment."""

    @property
    def ended(self) -> bool:
        """Whether it has ended."""

    @property
    def where(self) -> str:
        """The machine, if it is another one."""

    def text(self) -> str:
        """Its output so far, the lines of its epochs at least."""

    def running(self) -> bool:
        """Whether it has begun and not ended."""


class Watch:
    """What runs now, what has failed and how long the rest will take."""

    def __init__(
        self, epochs: Mapping[str, int], latest: Callable[[], Mapping[str, Log]], jobs: int
    ) -> None:
        """Anything that has ended before does not count.

        Args:
            epochs: of each experiment, by its name.
            latest: returns the last run of each, by name.
            jobs: how many run at once.
        """
        self.epochs = epochs
        self.latest = latest
        self.jobs = jobs
        there = latest().values()
        self.earlier = {log.path for log in there}
        self.ended = {log.path for log in there if not log.running()}
        self.began: float | None = None  # when the first experiment was seen to begin
        self.taken: dict[str, list[float]] = {}  # seconds of the epochs of each that began since
        self.start: tuple[int, float] = (0, 0.0)  # how many of those have ended; see seconds_left
        self.runs: dict[str, Log] = {}

    def look(self) -> None:
        """Reads what has changed."""
        self.runs = {
            name: log
            for name, log in self.latest().items()
            if name in self.epochs and log.path not in self.ended
        }
        for name, log in self.runs.items():
            if log.path not in self.earlier:
                self.began = self.began or time.monotonic()
                self.taken[name] = logs.epoch_seconds(log.text())

    def failed(self, left: set[str]) -> set[str]:
        """Those of `left`, which have no result, that have ended."""
        return {name for name in left if name in self.runs and self.runs[name].ended}

    def reason(self, name: str) -> str:
        """Why `name` failed, nothing if that is unknown."""
        return logs.reason(self.runs[name].text()) if name in self.runs else ""

    def show(self, display: Display, left: set[str]) -> None:
        """Shows what runs, while any are `left` without a result."""
        if not left:
            return
        done = {
            name: logs.last_epoch(log.text())
            for name, log in sorted(self.runs.items())
            if name in left and log.running()
        }
        failed = self.failed(left)
        head = f"{len(self.epochs) - len(left)}/{len(self.epochs)} done"
        running = [
            (f"{name} epoch {epoch}/{self.epochs[name]}" if epoch else f"{name} starting")
            + (f" on {self.runs[name].where}" if self.runs[name].where else "")
            for name, epoch in done.items()
        ]
        running = running or ["waiting for a worker"]
        to_start = left - failed - done.keys()
        epochs_left = sum(self.epochs[name] for name in left - failed) - sum(done.values())
        seconds = self._seconds_left(len(to_start), epochs_left)
        tail = "" if seconds is None else f"{tqdm.format_interval(seconds)} left"
        if failed:
            head += f", {len(failed)} failed"
        display.show(head, running, tail, 1 - epochs_left / max(1, sum(self.epochs.values())))

    def _seconds_left(self, to_start: int, epochs_left: int) -> float | None:
        if self.began is None:
            return None
        taken = [*self.taken.values()]
        spent = (time.monotonic() - self.began) * self.jobs
        ended = sum(not self.runs[name].running() for name in self.taken if name in self.runs)
        if ended > self.start[0]:
            self.start = ended, on_starts(spent, taken) / ended
        seconds = seconds_left(spent, taken, to_start, epochs_left, self.start[1])
        return None if seconds is None else seconds / self.jobs


def on_starts(spent: float, taken: Sequence[Sequence[float]]) -> float:
    """The seconds of `spent` that were none of the epochs of `taken`, their first ones aside.

    They went to DVC, the import of TensorFlow, compilation in the first epoch, and evaluation.
    """
    return max(0.0, spent - sum(seconds for one in taken for seconds in one[1:]))


def seconds_left(
    spent: float,
    taken: Sequence[Sequence[float]],
    to_start: int,
    epochs_left: int,
    start: float,
) -> float | None:
    """How long the rest would take one after the other: so much a start, and so much an epoch.

    Args:
        spent: seconds since the first of `taken` began.
        taken: the seconds of each epoch so far, of each experiment that began since; what came
            from the cache has none.
        to_start: how many have not begun.
        epochs_left: of all that have not ended.
        start: what a start took, on average over those that have ended; 0 if none has.

    Returns:
        None until there was an epoch without compilation.
    """
    epochs = [seconds for one in taken for seconds in one[1:]]
    if not epochs:
        return None
    so_far = on_starts(spent, taken)
    start = start or so_far / len(taken)
    starts = max(to_start * start, (len(taken) + to_start) * start - so_far)
    return starts + epochs_left * mean(epochs)

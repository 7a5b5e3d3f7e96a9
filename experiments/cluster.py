"""Many experiments as tasks on a Ray cluster, each in a clone of the commit (see `node`).

Their commits come back by way of the git remote, their outputs by DVC's default remote, each as
soon as it has ended. Ray repeats what lost its machine; what failed is not repeated.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import logs, node, results, sets
from experiments.progress import Display, Watch
from experiments.remotes import Remote
from pipeline.artifacts import write_files
from pipeline.errors import InputError
from pipeline.program import NO_COMPILE_CACHE
from pipeline.records import one_line
from pipeline.repository import git
from pipeline.tasks import connected

LOOK = 2  # seconds between two looks at what runs
GRACE = 20  # seconds for cancelled experiments to remove their clones
RETRIES = 3  # of an experiment whose machine was lost
# Variables, or how they begin.
HANDED_ON = ("DATASET_MIRROR", "GIT_AUTHOR_", "GIT_COMMITTER_", NO_COMPILE_CACHE)


@dataclass(frozen=True)
class Settings:
    """Which cluster, and what each experiment needs there."""

    address: str  # HOST:PORT
    cpus: float
    gpus: float
    git_remote: str  # its name


@dataclass(frozen=True)
class Task:
    """An experiment on the cluster, as far as it has come."""

    path: Path  # its name: Ray runs it once, or again in place of the one that was lost
    where: str
    epochs: str  # lines
    ended: bool

    def text(self) -> str:
        """The lines of its epochs so far."""
        return self.epochs

    def running(self) -> bool:
        """Whether it has not ended."""
        return not self.ended


def run(
    wanted: Iterable[tuple[str, sets.Flat]],
    epochs: Mapping[str, int],
    settings: Settings,
    at_once: int | None,
) -> Iterator[tuple[str, str]]:
    """Runs what is `wanted`, none of which is here, and fetches each as it ends.

    Args:
        wanted: names and parameters, taken when they are to be handed to Ray.
        epochs: of each, and of those of the batch that were there before.
        settings: of the cluster.
        at_once: how many to hand to Ray, which begins them as there is room; as many as there is
            room for if None.

    Yields:
        The name of each as it ends, and why it failed, empty if it did not.

    Raises:
        InputError: the repository has no remotes that a cluster can use, its commit lacks what is
            changed here, or the cluster does not let us in or has no room.
        NetworkError: the cluster does not answer.
    """
    remote = Remote(settings.git_remote)
    with (
        connected(settings.address) as ray,
        remote.offering() as ref,
        Display("connecting") as display,
    ):
        room = _room(ray, settings)
        tasks = _Tasks(ray, settings, remote, ref)
        watch = Watch(epochs, tasks.latest, min(room, at_once or room))
        coming = iter(wanted)
        with tasks.cancelled_at_the_end(display):
            while True:
                while len(tasks.pending) < (at_once or room) and (one := next(coming, None)):
                    if remote.has(*one):
                        yield _ended(one[0], "", f", from {remote.name}", display)
                    else:
                        tasks.hand_over(*one)
                if not tasks.pending:
                    return
                for name, outcome in tasks.ended():
                    failure = _collect(name, outcome, remote)
                    where = "" if isinstance(outcome, str) else f", on {outcome.where}"
                    yield _ended(name, failure, where, display)
                watch.look()
                watch.show(display, set(epochs) - results.finished().keys())


def _ended(name: str, failure: str, where: str, display: Display) -> tuple[str, str]:
    """Shows how an experiment has ended. Returns its name, and why it failed."""
    if failure:
        display.keep(f"failed  {name}")
        return name, f"{name}: failed: {failure}"
    display.keep(results.line(results.finished()[name], where))
    return name, ""


def _collect(name: str, outcome: node.Outcome | str, remote: Remote) -> str:
    """Fetches an experiment that has ended, and writes what it printed.

    Returns:
        Why it failed, empty if it did not.
    """
    if isinstance(outcome, str):
        return outcome
    if outcome.failed:
        output = logs.task(name)
        write_files({output: outcome.output.encode()})
        said = logs.reason(outcome.output) or f"{outcome.failed}: {_last_line(outcome.output)}"
        return f"{said}; its output on {outcome.where}: {output}"
    if failure := remote.fetch(name):
        return f"{failure}; {remote.name} has it: run this again"
    commit = git("rev-parse", f"{remote.experiments}/{name}")
    write_files({logs.task(commit): outcome.output.encode()})
    return ""


def _last_line(text: str) -> str:
    lines = filter(None, (line.strip() for line in reversed(text.splitlines())))
    return next(lines, "it printed nothing")


class _Tasks:
    """What Ray runs, or will."""

    def __init__(self, ray: Any, settings: Settings, remote: Remote, ref: str) -> None:  # noqa: ANN401, untyped
        self.ray = ray
        self.remote = remote
        self.ref = ref
        self.committed = sets.committed()
        self.pending: dict[Any, str] = {}  # names by what Ray gives for them
        self.said: dict[str, tuple[str, str]] = {}  # where each runs, and the lines of its epochs
        self.environment = {
            name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)
        }
        strategies = ray.util.scheduling_strategies
        here = strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        ray.cloudpickle.register_pickle_by_value(node)
        self.board = ray.remote(node.Board).options(num_cpus=0, scheduling_strategy=here).remote()
        self.function = ray.remote(node.experiment).options(
            num_cpus=settings.cpus,
            num_gpus=settings.gpus,
            max_retries=RETRIES,
            scheduling_strategy="SPREAD",
        )

    def hand_over(self, name: str, wanted: sets.Flat) -> None:
        """Gives Ray an experiment to run."""
        job = node.Job(
            name=name,
            commit=self.remote.head,
            ref=self.ref,
            git_url=self.remote.url,
            changes=sets.changes(wanted, self.committed),
            environment=self.environment,
            versions=node.versions(),
        )
        self.pending[self.function.remote(job, self.board)] = name

    def ended(self) -> Iterator[tuple[str, node.Outcome | str]]:
        """Those that end within a moment: names, and how they ended, or why there is no outcome."""
        ready, _ = self.ray.wait([*self.pending], num_returns=len(self.pending), timeout=LOOK)
        for task in ready:
            name = self.pending.pop(task)
            try:
                yield name, self.ray.get(task)
            except self.ray.exceptions.RayTaskError as error:
                yield name, f"{type(error.cause).__name__}: {one_line(error.cause)}"
            except self.ray.exceptions.RayError as error:
                yield name, f"{one_line(error)[:200]}"

    def latest(self) -> dict[str, Task]:
        """What has begun, by name."""
        with suppress(self.ray.exceptions.RayError):
            self.said = self.ray.get(self.board.read.remote(), timeout=LOOK)
        unfinished = {*self.pending.values()}
        return {
            name: Task(Path(name), where, epochs, ended=name not in unfinished)
            for name, (where, epochs) in self.said.items()
        }

    @contextmanager
    def cancelled_at_the_end(self, display: Display) -> Iterator[None]:
        """Cancels, at the end of the block, what has not ended, and waits until clones are gone."""
        try:
            yield
        finally:
            if self.pending:
                display.close()
                print("cancelling what runs; what has ended is kept", file=sys.stderr, flush=True)
                for task in self.pending:
                    self.ray.cancel(task)
                self.ray.wait([*self.pending], num_returns=len(self.pending), timeout=GRACE)


def _room(ray: Any, settings: Settings) -> int:  # noqa: ANN401, untyped
    """How many experiments the cluster has room for at once.

    Raises:
        InputError: not one.
    """
    nodes = [one["Resources"] for one in ray.nodes() if one["Alive"]]
    needs = {"CPU": settings.cpus, "GPU": settings.gpus}
    room = sum(
        min((int(one.get(kind, 0) / amount) for kind, amount in needs.items() if amount), default=0)
        for one in nodes
    )
    if not room:
        has = "; ".join(f"{one.get('CPU', 0):g} CPUs, {one.get('GPU', 0):g} GPUs" for one in nodes)
        raise InputError(
            f"no node has room for an experiment of {settings.cpus:g} CPUs and {settings.gpus:g} "
            f"GPUs (they have {has}); set CPUS or GPUS"
        )
    return room

"""Many experiments, through DVC's queue or on a cluster, whichever the user asks for.

An experiment belongs to the commit that is checked out. One that exists already is not run again.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from experiments import cluster, queue, results, sets
from pipeline.errors import TrainingError
from pipeline.program import add_compile_option

MOST = 2**31  # cores or GPUs
Wanted = Iterable[tuple[str, sets.Flat]]  # names of experiments, and their parameters


@dataclass(frozen=True)
class Way:
    """How they run."""

    jobs: int | None  # at once; 1 in the queue and as many as have room on a cluster if None
    cluster: cluster.Settings | None  # none: DVC's queue


def add_options(arguments: argparse.ArgumentParser) -> None:
    """Adds those that say how experiments run."""
    add_compile_option(arguments)
    arguments.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        help="at once (default: 1, on a cluster all it has room for)",
    )
    arguments.add_argument(
        "--ray-address", default="", metavar="HOST:PORT", help="of a Ray cluster (docs/clusters.md)"
    )
    arguments.add_argument(
        "--cpus", type=amount, default=2.0, metavar="N", help="cores of each there (default: 2)"
    )
    arguments.add_argument(
        "--gpus", type=amount, default=0.0, metavar="N", help="GPUs of each there (default: 0)"
    )
    arguments.add_argument(
        "--git-remote",
        default="origin",
        metavar="NAME",
        help="that every node of it reaches (default: %(default)s)",
    )


def way(options: argparse.Namespace) -> Way:
    """How the user wants them to run."""
    settings = cluster.Settings(options.ray_address, options.cpus, options.gpus, options.git_remote)
    return Way(options.jobs, settings if options.ray_address else None)


def count(text: str) -> int:
    """A number on the command line, how many of something.

    Raises:
        ArgumentTypeError: it is none, or below 1.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text}, expected a whole number of at least 1")
    return int(text)


def amount(text: str) -> float:
    """A number on the command line, of cores or GPUs; two tasks may share one.

    Raises:
        ArgumentTypeError: it is none, below 0, or has a fraction although it is above 1.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < MOST or (value > 1 and not value.is_integer()):
        raise argparse.ArgumentTypeError(
            f"found {text}, expected a whole number, or a share between 0 and 1"
        )
    return value


def over_seeds(
    names: Sequence[str], seeds: Sequence[int], way: Way
) -> dict[str, list[results.Run]]:
    """Runs each set in `names` with each of `seeds`, called NAME-seed-N, and waits for all of them.

    Args:
        names: of sets in sets.yaml.
        seeds: values of train.seed.
        way: how.

    Returns:
        The runs of each set, in the order of `seeds`.

    Raises:
        InputError: an experiment of that name has other parameters.
        TrainingError: one failed.
    """
    wanted = {f"{name}-seed-{seed}": sets.settings(name, seed) for name in names for seed in seeds}
    runs = run_all(wanted, way)
    return {name: [runs[f"{name}-seed-{seed}"] for seed in seeds] for name in names}


def run_all(wanted: Mapping[str, sets.Flat], way: Way) -> dict[str, results.Run]:
    """Runs what is `wanted`, by name, and waits for all of it.

    Raises:
        InputError: an experiment of that name has other parameters.
        TrainingError: one failed.
    """
    there = results.finished()
    for name in wanted.keys() & there.keys():
        results.check(there[name], wanted[name])
    if left := {name: one for name, one in wanted.items() if name not in there}:
        epochs = {name: epochs_of(one) for name, one in wanted.items()}
        if way.cluster:
            ended = dict(cluster.run(left.items(), epochs, way.cluster, way.jobs or len(left)))
            failures = {name: failure for name, failure in ended.items() if failure}
        else:
            failures = queue.run(left, epochs, way.jobs or 1)
        if failures:
            raise TrainingError("\n".join(failures.values()))
        there = results.finished()
    return {name: there[name] for name in wanted}


def epochs_of(wanted: sets.Flat) -> int:
    """How many it trains; 0 if that is no number, which the stages will report."""
    value = wanted["train.epochs"]
    return value if isinstance(value, int) else 0


def run_each(wanted: Wanted, epochs: Mapping[str, int], way: Way) -> Iterator[tuple[str, str]]:
    """Runs what is `wanted`, none of which is there, taking the next one as soon as one has ended.

    Args:
        wanted: may depend on how those before have ended.
        epochs: of each.
        way: how; in DVC's queue one after the other.

    Yields:
        The name of each as it ends, and why it failed, empty if it did not.
    """
    if way.cluster:
        yield from cluster.run(wanted, epochs, way.cluster, way.jobs)
    else:
        for name, one in wanted:
            yield name, queue.run({name: one}, {name: epochs[name]}, 1).get(name, "")

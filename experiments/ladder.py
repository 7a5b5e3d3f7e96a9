"""Runs named sets of parameters with several seeds, and prints a row of a table for each.

Seconds are those of fitting, without DVC and the start of TensorFlow; on a busy machine they are
too many. A run that DVC had in its cache took none, and is marked as such. Plain epochs say how
much that is on any machine: one is an epoch of `model.fit`, 784-512-10 with batches of 32 of 60,000
images, and a validation on 10,000, measured before and after the runs.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median

from benchmarks.ways import Way
from experiments import batch, results, sets
from experiments.spread import percent
from pipeline.program import Parser, run
from pipeline.training import backend

PLAIN = "60,000 images of 28x28 in batches of 32, by model.fit of 784-512-10"
HEADER = (
    "| name | weights | {} accuracy, % | seeds | seconds of fitting | plain epochs |\n"
    "|---|---|---|---|---|---|"
)


def row(
    name: str, runs: Sequence[results.Run], accuracies: Sequence[float], plain: float | None
) -> str:
    """The row of a set.

    Args:
        name: of the set.
        runs: one for each seed.
        accuracies: of each, on test or validation images.
        plain: seconds of a plain epoch; None if it was not measured.
    """
    seconds = [taken for taken in (one.seconds() for one in runs) if taken is not None]
    time = f"{mean(seconds):.0f}" if seconds else "from the cache"
    epochs = f"{mean(seconds) / plain:.1f}" if seconds and plain else ""
    cells = [f"`{name}`", f"{runs[0].weights():,}", percent(accuracies), f"{len(runs)}"]
    return f"| {' | '.join([*cells, time, epochs])} |"


def plain_epochs() -> list[float]:
    """Seconds of some plain epochs, without the first one of a training."""
    return Way("benchmarks.plain", Path(os.devnull)).train([512], 32, 4).seconds[1:]


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.ladder", __doc__)
    add = arguments.add_argument
    add("names", metavar="NAMES", help="of sets in experiments/sets.yaml, with spaces between them")
    add(
        "--seeds",
        type=batch.count,
        default=5,
        metavar="N",
        help="how many (default: %(default)s)",
    )
    add(
        "--validation",
        type=batch.count,
        metavar="N",
        help="hold out N training images, and show the accuracy on them instead of the test images",
    )
    add("--plain", action="store_true", help="show the cost in epochs of plain model.fit, too")
    batch.add_options(arguments)
    return arguments


def wanted(name: str, seeds: range, validation: int | None) -> dict[str, sets.Flat]:
    """The parameters of each experiment by its name."""
    if not validation:
        return {f"{name}-seed-{seed}": sets.settings(name, seed) for seed in seeds}
    held_out = {"preprocess.validation": validation}
    return {
        f"{name}-validation-{validation}-seed-{seed}": sets.settings(name, seed) | held_out
        for seed in seeds
    }


def main(options: argparse.Namespace) -> None:
    """Runs what is missing, and prints the table."""
    seeds, validation = range(options.seeds), options.validation
    experiments_of = {
        name: wanted(name, seeds, validation) for name in options.names.split() or [""]
    }
    every = {name: one for of_set in experiments_of.values() for name, one in of_set.items()}
    if options.plain:
        print("measuring plain epochs of model.fit, now and after the runs", flush=True)
    measured = plain_epochs() if options.plain else []
    runs = batch.run_all(every, batch.way(options))
    plain = median(measured + plain_epochs()) if options.plain else None
    datasets = sorted({str(one["dataset.name"]) for one in every.values()})
    print(f"\non {os.cpu_count()} cores of {backend.processor()}; of {', '.join(datasets)}")
    if plain:
        print(f"plain epoch: {plain:.2f} s for {PLAIN}")
    print("accuracy: mean ± standard deviation over the seeds\n")
    print(HEADER.format("validation" if validation else "test"))
    for name, of_set in experiments_of.items():
        of_name = [runs[one] for one in of_set]
        accuracies = [
            float(one.history()["val_accuracy"][-1]) if validation else one.accuracy()
            for one in of_name
        ]
        print(row(name, of_name, accuracies, plain))


if __name__ == "__main__":
    run(parser(), main)

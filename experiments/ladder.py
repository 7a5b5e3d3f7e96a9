"""Runs a named set of parameters with several seeds, and prints it as a row of README's table.

Seconds are those of fitting, without DVC and the start of TensorFlow; on a busy machine they are
too many. A run that DVC had in its cache took none, and is marked as such.
"""

import argparse
import os
from statistics import mean

from experiments import batch, results
from experiments.spread import percent
from pipeline.program import Parser, run

HEADER = "| name | weights | test accuracy, % | seeds | seconds of fitting |\n|---|---|---|---|---|"


def row(name: str, runs: list[results.Run]) -> str:
    """The row of a set and its runs."""
    accuracies = [one.accuracy() for one in runs]
    seconds = [taken for taken in (one.seconds() for one in runs) if taken is not None]
    time = f"{mean(seconds):.0f}" if seconds else "from the cache"
    weights = f"{runs[0].weights():,}"
    return f"| `{name}` | {weights} | {percent(accuracies)} | {len(runs)} | {time} |"


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.ladder", __doc__)
    arguments.add_argument("name", help="a set in experiments/sets.yaml")
    arguments.add_argument(
        "--seeds", type=batch.count, default=5, metavar="N", help="how many (default: %(default)s)"
    )
    batch.add_options(arguments)
    return arguments


def main(options: argparse.Namespace) -> None:
    """Runs what is missing, and prints the table."""
    runs = batch.over_seeds([options.name], range(options.seeds), batch.way(options))
    print(f"\non {os.cpu_count()} cores\n\n{HEADER}\n{row(options.name, runs[options.name])}")


if __name__ == "__main__":
    run(parser(), main)

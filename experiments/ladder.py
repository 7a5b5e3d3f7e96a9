"""A named set over several seeds, as a row of README's table.

`python -m experiments.ladder NAME [--seeds N]`. Seconds are those of fitting, without DVC's own and
the start of TensorFlow; on a machine that does something else they are too many. A run that DVC had
in its cache took none, and says so.
"""

import argparse
import os
from collections.abc import Sequence
from statistics import mean

from experiments import queue
from experiments.run import program
from experiments.spread import percent

HEADER = "| name | weights | test accuracy, % | seeds | seconds of fitting |\n|---|---|---|---|---|"


def row(name: str, runs: list[queue.Run]) -> str:
    """Its row of the table."""
    accuracies = [run.accuracy() for run in runs]
    seconds = [taken for taken in (run.seconds() for run in runs) if taken is not None]
    time = f"{mean(seconds):.0f}" if seconds else "from the cache"
    weights = f"{runs[0].weights():,}"
    return f"| `{name}` | {weights} | {percent(accuracies)} | {len(runs)} | {time} |"


def main(arguments: Sequence[str]) -> int:
    """Runs what is missing, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.ladder", description=__doc__)
    parser.add_argument("name", help="a set of experiments/sets.yaml")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="how many (5)")
    options = parser.parse_args(arguments)
    runs = queue.run_all([options.name], range(options.seeds), jobs=1)
    print(f"\non {os.cpu_count()} cores\n\n{HEADER}\n{row(options.name, runs[options.name])}")
    return 0


if __name__ == "__main__":
    program("ladder", main)

"""Names the experiment of the current commit with the best validation.

The test images choose nothing: experiments that validate on them are left out, and so are those on
other images than params.yaml names.
"""

import argparse
from collections.abc import Sequence

from experiments import queue, sets
from pipeline import paths
from pipeline.errors import InputError
from pipeline.program import Parser, run
from pipeline.records import read_file

METRICS = {"val_accuracy": max, "val_loss": min}  # after the last epoch; which one is best
SHOWN = 5
KEYS = ("dataset.name", "preprocess.validation", "preprocess.seed")  # which images


def ranked(
    runs: Sequence[queue.Run], metric: str, images: sets.Flat
) -> list[tuple[float, queue.Run]]:
    """The `runs` on the same `images`, best first, each with its value of `metric`."""
    valued = [
        (float(one.history()[metric][-1]), one)
        for one in runs
        if all(one.params().get(key) == images[key] for key in KEYS)
    ]
    sign = -1 if METRICS[metric] is max else 1
    return sorted(valued, key=lambda pair: (sign * pair[0], pair[1].name))


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.best", __doc__)
    arguments.add_argument("--metric", choices=METRICS, default="val_accuracy")
    return arguments


def main(options: argparse.Namespace) -> None:
    """Prints the best ones, and the command that applies the first.

    Raises:
        InputError: there is none to compare.
    """
    images = sets.values(read_file(paths.PARAMS), str(paths.PARAMS))
    if images["preprocess.validation"] == "test":
        raise InputError(
            "preprocess.validation is test, and the test images choose nothing; "
            "set it to a share of the training images, such as 0.1"
        )
    runs = list(queue.finished().values())
    best = ranked(runs, options.metric, images)
    if not best:
        raise InputError(
            f"no experiment of this commit uses the images that {paths.PARAMS} names "
            f"({len(runs)} use others); run one: dvc exp run"
        )
    for value, one in best[:SHOWN]:
        print(f"{options.metric} {value:.4f}  {one.name}")
    print(f"{len(best)} compared, {len(runs) - len(best)} on other images left out")
    print(f"to adopt the first one: dvc exp apply {best[0][1].name}")


if __name__ == "__main__":
    run(parser(), main)

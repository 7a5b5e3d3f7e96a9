"""The experiment that validates best, among those of the commit that is checked out.

`python -m experiments.best [--metric val_accuracy]`. The test images choose nothing: experiments
that validate on them are left out, and so are those with other images than params.yaml names.
"""

import argparse
from collections.abc import Sequence

from experiments import queue, sets
from experiments.run import program
from pipeline import paths
from pipeline.errors import InputError

METRICS = {"val_accuracy": max, "val_loss": min}  # after the last epoch, and which one is best
SHOWN = 5
KEYS = ("dataset.name", "preprocess.validation", "preprocess.seed")  # which images


def ranked(
    runs: Sequence[queue.Run], metric: str, images: sets.Flat
) -> list[tuple[float, queue.Run]]:
    """Those of `runs` on the same `images`, best first, by the value of `metric` that each has."""
    found = [
        (run.history()[metric][-1], run)
        for run in runs
        if all(run.params().get(key) == images[key] for key in KEYS)
    ]
    sign = -1 if METRICS[metric] is max else 1
    return sorted(found, key=lambda pair: (sign * pair[0], pair[1].name))


def main(arguments: Sequence[str]) -> int:
    """Prints the best ones and the command that applies the first.

    Raises:
        InputError: there is none to compare.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.best", description=__doc__)
    parser.add_argument("--metric", choices=METRICS, default="val_accuracy")
    options = parser.parse_args(arguments)
    images = sets.flat(paths.PARAMS.read_bytes(), str(paths.PARAMS))
    if images["preprocess.validation"] == "test":
        raise InputError(
            "preprocess.validation is test, and the test images choose nothing; "
            "set it to a share of the training images, like 0.1"
        )
    runs = list(queue.finished().values())
    best = ranked(runs, options.metric, images)
    if not best:
        raise InputError(
            f"no experiment of this commit is on the same images as {paths.PARAMS} "
            f"({len(runs)} on others); start one: dvc exp run"
        )
    for value, run in best[:SHOWN]:
        print(f"{options.metric} {value:.4f}  {run.name}")
    print(f"{len(best)} compared, {len(runs) - len(best)} on other images left out")
    print(f"to take the first one over: dvc exp apply {best[0][1].name}")
    return 0


if __name__ == "__main__":
    program("best", main)

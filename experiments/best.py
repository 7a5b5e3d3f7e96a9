"""Names the best of the committed run and the experiments of its commit, by validation.

The test images choose nothing: experiments that validate on them are left out, and so are those on
other images than the committed parameters name.
"""

import argparse
from collections.abc import Sequence

from experiments import results, sets
from pipeline import paths
from pipeline.errors import InputError
from pipeline.program import Parser, run

METRICS = {"val_accuracy": max, "val_loss": min}  # which one is best
SHOWN = 5


def ranked(
    runs: Sequence[results.Run], metric: str, images: sets.Flat
) -> list[tuple[float, results.Run]]:
    """The `runs` on the same `images`, best first, each with its value of `metric`.

    The committed run comes before experiments that are as good.
    """
    valued = [(one.final()[metric], one) for one in runs if sets.same_images(one.params(), images)]
    sign = -1 if METRICS[metric] is max else 1
    return sorted(
        valued, key=lambda pair: (sign * pair[0], pair[1].name != results.COMMITTED, pair[1].name)
    )


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.best", __doc__)
    arguments.add_argument(
        "--metric",
        choices=METRICS,
        default="val_accuracy",
        help="of the model, on the validation images (default: %(default)s)",
    )
    return arguments


def main(options: argparse.Namespace) -> None:
    """Prints the best ones, and the command that applies the first if it is an experiment.

    Raises:
        InputError: there is none to compare.
    """
    images = sets.committed()
    sets.check_may_choose(images)
    experiments = list(results.finished().values())
    best = ranked([*results.committed(), *experiments], options.metric, images)
    others = len(experiments) - sum(one.name != results.COMMITTED for _, one in best)
    if others == len(experiments):
        raise InputError(
            f"no experiment of this commit uses the images that its {paths.PARAMS} names "
            f"({others} use others); run one: make restore, then dvc exp run"
        )
    for place, (value, one) in enumerate(best, start=1):
        if place <= SHOWN or one.name == results.COMMITTED:
            print(f"{place:{len(str(len(best)))}}  {options.metric} {value:.4f}  {one.name}")
    print(f"{len(best)} compared, {others} on other images left out")
    if best[0][1].name == results.COMMITTED:
        print("the committed run is the best")
    else:
        print(f"to adopt the first one: dvc exp apply {best[0][1].name}")


if __name__ == "__main__":
    run(parser(), main)

"""Runs an experiment for each combination of values of some parameters, and shows the best.

An experiment is called after the set that it changes and its values:
sweep-learning_rate-0.001-mlp.hidden_units-128. One that exists already is not run again.
"""

import argparse

from experiments import batch, grid, sets
from pipeline.errors import InputError
from pipeline.program import Parser, run

SOURCE = "GRID"
PREFIX = "sweep"  # of names, where no set is changed
MOST = 10_000  # experiments; more are a mistake


def planned(text: str, base: str) -> dict[str, sets.Flat]:
    """The parameters of each experiment by its name, all checked.

    Args:
        text: keys with their values.
        base: the name of the set of parameters that they change.

    Raises:
        InputError: in one line, what is wrong.
    """
    choices = {
        key: grid.values(key, what, SOURCE) for key, what in grid.entries(text, SOURCE).items()
    }
    committed = sets.committed() | sets.named(base)
    count = 1
    for some in choices.values():
        count *= len(some)
    if count > MOST:
        raise InputError(f"{SOURCE}: found {count:,} combinations, expected at most {MOST:,}")
    prefix = PREFIX if base == "default" else base
    wanted: dict[str, sets.Flat] = {}
    for chosen in grid.combinations(choices):
        grid.check(committed, chosen, SOURCE)
        name = grid.name(prefix, chosen, committed)
        if name in wanted:
            raise InputError(f"{SOURCE}: two combinations are both called {name}")
        wanted[name] = committed | chosen
    return wanted


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.sweep", __doc__)
    arguments.add_argument(
        "grid", help="such as 'train.learning_rate=1e-4,1e-3 model.mlp.hidden_units=[128],[512]'"
    )
    arguments.add_argument(
        "--name", default="default", help="a set in experiments/sets.yaml that it changes"
    )
    batch.add_options(arguments)
    return arguments


def main(options: argparse.Namespace) -> None:
    """Runs what is missing, and says what comes next."""
    wanted = planned(options.grid, options.name)
    runs = batch.run_all(wanted, batch.way(options))
    print(f"{len(runs)} experiments; make compare shows them, make best names the best")


if __name__ == "__main__":
    run(parser(), main)

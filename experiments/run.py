"""Runs one named set of parameters in this folder, by `dvc exp run`.

The experiment is called NAME-seed-N. If there is one of that name, its results are brought back.
"""

import argparse
import os
import shlex
from typing import NoReturn

from experiments import batch, results, sets
from pipeline.program import Parser, run
from pipeline.repository import DVC


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.run", __doc__, epilog="It exits with the code of DVC.")
    arguments.add_argument("name", help="a set in experiments/sets.yaml")
    arguments.add_argument(
        "--seed", type=int, default=0, metavar="N", help="train.seed (default: %(default)s)"
    )
    batch.add_options(arguments)
    return arguments


def main(options: argparse.Namespace) -> NoReturn:
    """Prints the command, and becomes it, so that Ctrl-C waits until DVC has tidied up."""
    name, wanted = f"{options.name}-seed-{options.seed}", sets.settings(options.name, options.seed)
    way = batch.way(options)
    if way.cluster:
        batch.run_all({name: wanted}, way)
    command = ("exp", "run", "--name", name, *sets.changes(wanted, sets.here()))
    if there := results.finished().get(name):
        results.check(there, wanted)
        command = ("exp", "apply", name)
    print(shlex.join(("dvc", *command)), flush=True)
    os.execv(DVC[0], (*DVC, *command))  # noqa: S606, no shell


if __name__ == "__main__":
    run(parser(), main)

"""Runs one named set of parameters in this folder, by `dvc exp run`."""

import argparse
import shlex
import subprocess

from experiments import sets
from pipeline.program import Parser, run
from pipeline.repository import DVC


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.run", __doc__, epilog="It exits with the code of DVC.")
    arguments.add_argument("name", help="a set in experiments/sets.yaml")
    arguments.add_argument(
        "--seed", type=int, default=0, metavar="N", help="train.seed (default: %(default)s)"
    )
    return arguments


def main(options: argparse.Namespace) -> int:
    """Prints the command, runs it, and returns its exit code."""
    command = ("exp", "run", *sets.changes(sets.settings(options.name, options.seed)))
    print(shlex.join(("dvc", *command)))
    return subprocess.run((*DVC, *command), check=False).returncode  # noqa: S603


if __name__ == "__main__":
    run(parser(), main)

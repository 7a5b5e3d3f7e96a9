"""One named set of parameters, run in this folder by `dvc exp run`.

`python -m experiments.run NAME [--seed N]` leaves with DVC's exit code, or with 2 for a wrong name.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence

from experiments import sets
from pipeline.errors import PipelineError


def main(arguments: Sequence[str]) -> int:
    """Says which command it runs, and runs it."""
    parser = argparse.ArgumentParser(prog="python -m experiments.run", description=__doc__)
    parser.add_argument("name", help="a set of experiments/sets.yaml")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="train.seed (0)")
    options = parser.parse_args(arguments)
    command = ("dvc", "exp", "run", *sets.changes(sets.settings(options.name, options.seed)))
    print(shlex.join(command), flush=True)
    return subprocess.run((sys.executable, "-m", *command), check=False).returncode  # noqa: S603


def program(name: str, run: Callable[[Sequence[str]], int]) -> None:
    """Leaves with what `run` returns, or with a line and the code of what went wrong."""
    try:
        sys.exit(run(sys.argv[1:]))
    except PipelineError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    program("experiment", main)

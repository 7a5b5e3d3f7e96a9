"""The committed parameters with several seeds, for a gate that compares their means.

`python -m experiments.seeds [--seeds N] [--jobs N]` trains the seeds from `train.seed` on, as many
as `gate.seeds` or N says, and writes metrics/seeds.json. What is there for this commit is not run
again.
"""

import argparse
from collections.abc import Sequence

from experiments import queue
from experiments.run import program
from experiments.spread import percent
from pipeline import params, paths, results, seeds, workspace
from pipeline.artifacts import write_json
from pipeline.errors import InputError

SET = "default"


def main(arguments: Sequence[str]) -> int:
    """Runs what is missing, and writes the file.

    Raises:
        InputError: the results here are not those of the last commit.
    """
    parser = argparse.ArgumentParser(prog="python -m experiments.seeds", description=__doc__)
    parser.add_argument("--seeds", type=int, metavar="N", help="how many (gate.seeds)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="at once (1)")
    options = parser.parse_args(arguments)
    here = params.load(paths.PARAMS)
    count = options.seeds or here.gate.seeds
    if count == 1:
        raise InputError("gate.seeds is 1, and a spread needs 2 or more: make seeds SEEDS=5")
    workspace.check_lock()
    workspace.check_committed()
    numbers = range(here.train.seed, here.train.seed + count)
    runs = queue.run_all([SET], numbers, options.jobs)[SET]
    made_from = seeds.fingerprint(workspace.read)
    models = {}
    for seed, run in zip(numbers, runs, strict=True):
        if seeds.fingerprint(run.revision.read) != made_from:
            raise InputError(
                f"{run.name}: was made from other code, parameters or data than {paths.LOCK} says; "
                f"take it away: dvc exp remove {run.name}"
            )
        models[seed] = results.load(run.revision.read, run.name, "run it again")
    write_json(paths.SEEDS, seeds.content(models, made_from))
    found = seeds.load(workspace.read, results.load(workspace.read, "here", "dvc repro"), "here")
    print(f"\naccuracy {percent(found.tolist())} % over {count} seeds\n{paths.SEEDS}")
    return 0


if __name__ == "__main__":
    program("seeds", main)

"""Searches parameters by the accuracy on the validation images, with Optuna's TPE sampler.

Each trial is an experiment. The study is a file in .pipeline/search, from which a search that was
stopped goes on: with the same commit, space, set and seed. One trial after the other makes the same
choices again; with several at once, they depend on the order in which those end.
"""

import argparse
import fcntl
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from experiments import batch, results, sets, space
from pipeline import paths
from pipeline.errors import BusyError, InputError, TrainingError
from pipeline.program import Parser, run
from pipeline.repository import commit_of

METRIC = "val_accuracy"  # after the last epoch
STUDIES = paths.STATE / "search"  # ignored by git
SHOWN = 5


class Search:
    """A study, and the experiments that are its trials."""

    def __init__(
        self, base: sets.Flat, where: space.Space, trials: int, seed: int, digest: str
    ) -> None:
        """Goes on with the study called `digest`, or begins it.

        Args:
            base: the parameters that a trial changes.
            where: what it may choose from.
            trials: how many, with those of earlier.
            seed: of the sampler.
            digest: of all that decides on the choices.

        Raises:
            InputError: Optuna is not installed.
        """
        self.optuna = _optuna()
        self.base = base
        self.space = where
        self.seed = seed
        self.digest = digest
        journal = self.optuna.storages.journal.JournalFileBackend(str(STUDIES / digest))
        self.study = self.optuna.create_study(
            study_name=digest,
            storage=self.optuna.storages.JournalStorage(journal),
            direction="maximize",
            load_if_exists=True,
        )
        self.distributions = {key: self._distribution(some) for key, some in where.items()}
        self.failures: dict[str, str] = {}
        self.trials = trials
        self.epochs = {self.name(number): batch.epochs_of(base) for number in range(trials)}

    def name(self, number: int) -> str:
        """What the experiment of a trial is called; trials are counted from 0."""
        return f"search-{self.digest}-{number + 1}"

    def asks(self) -> Iterator[tuple[str, sets.Flat]]:
        """What to run next, until there are enough; first what a stopped search has left."""
        for trial in self._trials("RUNNING"):
            if self.name(trial.number) in results.finished():
                self.tell(self.name(trial.number), "")
            else:
                yield self._experiment(trial)
        while (number := len(self.study.trials)) < self.trials:
            seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            self.study.sampler = self.optuna.samplers.TPESampler(seed=seed)
            yield self._experiment(self.study.ask(self.distributions))

    def tell(self, name: str, failure: str) -> None:
        """Notes how an experiment has ended.

        Args:
            name: of the experiment.
            failure: why it failed, empty if it did not.
        """
        number = int(name.rpartition("-")[2]) - 1
        if failure:
            self.failures[name] = failure
            self.study.tell(number, state=self.optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, results.finished()[name].final()[METRIC])

    def report(self) -> list[str]:
        """The best trials, best first, and what to do with them.

        Raises:
            TrainingError: all have failed.
        """
        done = sorted(self._trials("COMPLETE"), key=lambda trial: (-trial.value, trial.number))
        if not done:
            raise TrainingError("\n".join(["no trial has a result", *self.failures.values()]))
        lines = []
        for place, trial in enumerate(done[:SHOWN], start=1):
            chosen = " ".join(
                f"{key}={_short(value)}" for key, value in self._values(trial.params).items()
            )
            lines.append(
                f"{place}  {METRIC} {trial.value:.4f}  {self.name(trial.number)}  {chosen}"
            )
        failed = len(self._trials("FAIL"))
        lines.append(f"{len(done)} trials" + (f", {failed} more failed" if failed else ""))
        lines.append(f"to adopt the first one: dvc exp apply {self.name(done[0].number)}")
        return lines

    def _experiment(self, trial: Any) -> tuple[str, sets.Flat]:  # noqa: ANN401, untyped
        """The name and the parameters of a trial."""
        name, wanted = self.name(trial.number), self.base | self._values(trial.params)
        self.epochs[name] = batch.epochs_of(wanted)
        return name, wanted

    def _trials(self, state: str) -> list[Any]:
        return list(self.study.get_trials(states=[self.optuna.trial.TrialState[state]]))

    def _distribution(self, some: space.Range | space.Choice) -> Any:  # noqa: ANN401, untyped
        kinds = self.optuna.distributions
        if isinstance(some, space.Choice):
            return kinds.CategoricalDistribution(some.words)
        if some.whole:
            return kinds.IntDistribution(int(some.low), int(some.high), log=some.log)
        return kinds.FloatDistribution(some.low, some.high, log=some.log)

    def _values(self, chosen: sets.Flat) -> sets.Flat:
        """The parameters that a trial stands for."""
        return {
            key: json.loads(str(value)) if isinstance(self.space[key], space.Choice) else value
            for key, value in chosen.items()
        }


def _short(value: object) -> str:
    """A value as a person would write it."""
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def _optuna() -> Any:  # noqa: ANN401, untyped
    """The module, without its log.

    Raises:
        InputError: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise InputError(
            "optuna is not installed, which chooses the trials; make extras"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


@contextmanager
def _alone(digest: str) -> Iterator[None]:
    """Holds the lock of a study; the system drops it with the process.

    Raises:
        BusyError: another process holds it.
    """
    STUDIES.mkdir(parents=True, exist_ok=True)
    with (STUDIES / f"{digest}.alone").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError("this search is running already; wait for it or stop it") from None
        yield


def check(base: sets.Flat, where: space.Space) -> None:
    """Checks that the validation accuracies of all trials can be compared, and may choose.

    Raises:
        InputError: they cannot, or the test images would choose.
    """
    sets.check_may_choose(base)
    for key in sets.IMAGES:
        if key in where:
            raise InputError(
                f"{space.SOURCE}: {key} decides which images validate, so that trials could not be "
                f"compared; leave it out"
            )


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.search", __doc__)
    arguments.add_argument(
        "space", help="such as 'train.learning_rate=log:1e-4..1e-2 model.mlp.dropout=0..0.5'"
    )
    arguments.add_argument(
        "--trials", type=batch.count, default=20, metavar="N", help="in all (default: %(default)s)"
    )
    arguments.add_argument(
        "--name", default="default", help="a set in experiments/sets.yaml that they change"
    )
    arguments.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the sampler (default: %(default)s)"
    )
    batch.add_options(arguments)
    return arguments


def main(options: argparse.Namespace) -> None:
    """Runs the trials that are missing, and prints the best.

    Raises:
        TrainingError: all have failed.
    """
    base = sets.committed() | sets.named(options.name)
    where = space.parse(options.space, base)
    check(base, where)
    decisive = [commit_of("HEAD"), options.name, options.seed, sorted(options.space.split())]
    digest = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:6]
    with _alone(digest):
        search = Search(base, where, options.trials, options.seed, digest)
        for name, failure in batch.run_each(search.asks(), search.epochs, batch.way(options)):
            search.tell(name, failure)
        print()
        print(
            "\n".join(search.failures.values()), end="\n" * bool(search.failures), file=sys.stderr
        )
        print("\n".join(search.report()))


if __name__ == "__main__":
    run(parser(), main)

"""Measures the pipeline against the plain way, in turn and in one run, and prints a table.

`python -m benchmarks.bench FOLDER [ROUNDS]`, where FOLDER holds MNIST's four archives. The figures
are medians; every pair is measured alternately, so that a machine whose speed drifts slows down
both. It writes benchmarks/RESULTS.md and benchmarks/accuracy.png too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median, stdev

from pipeline import backend
from pipeline.artifacts import write_bytes, write_png
from pipeline.checkpoint import Checkpoint, State
from pipeline.figures import style
from pipeline.split import Split

backend.start()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.ticker import PercentFormatter  # noqa: E402

from benchmarks import others, plain  # noqa: E402
from pipeline.fit import fit  # noqa: E402
from pipeline.models import mlp  # noqa: E402
from pipeline.noise import Augment  # noqa: E402
from pipeline.train import make_loss  # noqa: E402

RESULTS = Path("benchmarks/RESULTS.md")
CHART = Path("benchmarks/accuracy.png")
ENOUGH = 0.975  # accuracy on the test images


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, validation included; ends the training at an accuracy."""

    def __init__(self, enough: float = 2.0) -> None:
        super().__init__()
        self.enough = enough
        self.created = time.perf_counter()
        self.seconds: list[float] = []
        self.elapsed: list[float] = []
        self.accuracy: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.seconds.append(time.perf_counter() - self.started)
        self.elapsed.append(time.perf_counter() - self.created)
        self.accuracy.append(logs["val_accuracy"])
        self.model.stop_training = logs["val_accuracy"] >= self.enough


class Ours:
    """The engine of `pipeline.fit`."""

    def __init__(self, train: others.Arrays, test: others.Arrays) -> None:
        self.train, self.test = (
            Split((images * 255).astype(np.uint8), labels, tuple("0123456789"))
            for images, labels in (train, test)
        )

    def fit(
        self,
        units: list[int],
        batch_size: int,
        epochs: int,
        clock: Clock,
        *,
        regularised: bool = False,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Trains a new network."""
        fit(
            mlp((28, 28), 10, 1 / 255, hidden_units=units, dropout=0.2 if regularised else 0.0),
            self.train,
            self.test,
            optimizer=keras.optimizers.Adam(weight_decay=1e-4 if regularised else None),
            loss=make_loss(0.1 if regularised else 0.0),
            epochs=epochs,
            batch_size=batch_size,
            seed=int(np.random.default_rng().integers(2**32)),
            augment=Augment(shift=2 if regularised else 0),
            callbacks=[clock],
            checkpoint=checkpoint,
        )


class Plain:
    """`model.fit` on the arrays."""

    def __init__(self, train: others.Arrays, test: others.Arrays) -> None:
        self.train, self.test = train, test

    def fit(
        self,
        units: list[int],
        batch_size: int,
        epochs: int,
        clock: Clock,
        *,
        regularised: bool = False,
    ) -> None:
        """Trains a new network."""
        train, test = self.train, self.test
        if regularised:  # smoothing wants a number per class
            (train, test) = (
                (images, keras.utils.to_categorical(labels)) for images, labels in (train, test)
            )
        plain.build(units, regularised=regularised).fit(
            *train,
            batch_size=batch_size,
            epochs=epochs,
            validation_data=test,
            callbacks=[clock],
            verbose=0,
        )


class TimedCheckpoint(Checkpoint):
    """Counts the seconds that it takes."""

    seconds = 0.0

    def save(self, state: State) -> None:
        """As the checkpoint does."""
        started = time.perf_counter()
        super().save(state)
        self.seconds += time.perf_counter() - started


class Table:
    """Rows that are printed as they come."""

    def __init__(self) -> None:
        self.rows = ["| what | pipeline | plain | ratio | to reach |", "|---|---|---|---|---|"]

    def add(self, *cells: str) -> None:
        """A row of five cells."""
        self.rows.append(f"| {' | '.join(cells)} |")
        print(self.rows[-1], flush=True)

    def compare(
        self, what: str, pair: tuple[float, float], target: str, unit: str = "s", digits: int = 2
    ) -> None:
        """A row with how many times as much the plain way takes."""
        ours, theirs = pair
        shown = (f"{value:.{digits}f} {unit}" for value in pair)
        self.add(what, *shown, f"{theirs / ours:.2f}", target)


def alternately(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> tuple[float, float]:
    """The median of each, measured in turn."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def epoch_seconds(
    way: Ours | Plain, units: list[int], batch_size: int, *, regularised: bool = False
) -> float:
    """An epoch with validation, after one that compiles."""
    clock = Clock()
    way.fit(units, batch_size, others.EPOCHS, clock, regularised=regularised)
    return median(clock.seconds[1:])


def seconds_until_enough(way: Ours | Plain) -> float:
    """From an untrained network, not compiled, to ENOUGH."""
    started = time.perf_counter()
    way.fit([512], 32, 30, Clock(ENOUGH))
    return time.perf_counter() - started


def trainings(way: Ours | Plain, seeds: int) -> list[Clock]:
    """784-128-10 for 10 epochs, with each seed."""
    clocks = []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        clocks.append(Clock())
        way.fit([128], 32, 10, clocks[-1])
    return clocks


def checkpoint_share(way: Ours, folder: Path) -> float:
    """Of the time of 5 epochs after the first, per cent."""
    clock, checkpoint = Clock(), TimedCheckpoint(folder, {})
    way.fit([128], 32, 6, clock, checkpoint=checkpoint)
    return 100 * checkpoint.seconds / 6 * 5 / (clock.elapsed[-1] - clock.elapsed[0])


def run(*command: str, folder: Path = Path(), **environment: str) -> float:
    """Seconds of `command`."""
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - started


def peak(*command: str, folder: Path = Path()) -> float:
    """MiB of memory of `command` at its peak.

    A small process starts it: a child of this one would begin with the peak of this one.
    """
    program = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=2, stderr=subprocess.DEVNULL, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    result = subprocess.run(
        (sys.executable, "-c", program, *command),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return int(result.stdout) / 1024


def whole(folder: Path, clone: Path) -> float:
    """`dvc repro` from nothing, in a clone."""
    shutil.rmtree(clone / ".dvc/cache", ignore_errors=True)
    shutil.rmtree(clone / "data/raw", ignore_errors=True)
    return run("dvc", "repro", "--force", folder=clone, DATASET_MIRROR=str(folder))


def training(table: Table, folder: Path, rounds: int) -> None:
    """How fast networks train, and how well."""
    train, test = (plain.load(folder, name) for name in ("train", "t10k"))
    ours, theirs = Ours(train, test), Plain(train, test)
    for units, target in ((128, "8"), (512, "6.5")):
        medians = alternately(
            partial(epoch_seconds, ours, [units], 32),
            partial(epoch_seconds, theirs, [units], 32),
            rounds,
        )
        what = f"epoch with validation, 784-{units}-10, batch 32"
        table.compare(what, medians, target)
        for name in others.installed():
            medians = alternately(
                partial(epoch_seconds, ours, [units], 32),
                partial(others.epoch_seconds, name, train, test, units),
                rounds,
            )
            what = f"the same, against {name} {version(name)}"
            table.compare(what, medians, "1" if name == "jax" else "")
    everything = partial(epoch_seconds, ours, [512, 512], 128, regularised=True)
    medians = alternately(
        everything, partial(epoch_seconds, theirs, [512, 512], 128, regularised=True), rounds
    )
    table.compare("784-512-512-10, batch 128, all regularisation", medians, "2.5")
    medians = alternately(
        partial(epoch_seconds, ours, [512], 32, regularised=True),
        partial(epoch_seconds, ours, [512], 32),
        rounds,
    )
    ratio = f"{medians[0] / medians[1]:.2f}"
    table.add(
        "all regularisation, against none, 784-512-10, batch 32",
        *(f"{value:.2f} s" for value in medians),
        ratio,
        "at most 1.25",
    )

    clocks = [trainings(way, rounds) for way in (ours, theirs)]
    accuracies = [[100 * clock.accuracy[-1] for clock in way] for way in clocks]
    table.add(
        f"accuracy after 10 epochs, 784-128-10, {rounds} seeds, mean and deviation",
        *(f"{mean(way):.2f} ± {stdev(way):.2f} %" for way in accuracies),
        f"{mean(accuracies[0]) - mean(accuracies[1]):+.2f}",
        "within 0.2",
    )
    with style():
        write_png(CHART, accuracy_by_seconds(*clocks))
    medians = alternately(
        partial(seconds_until_enough, ours), partial(seconds_until_enough, theirs), 2 * rounds
    )
    table.compare("training to 97.5%, 784-512-10, compilation counted", medians, "6")
    with tempfile.TemporaryDirectory() as temporary:
        share = median(checkpoint_share(ours, Path(temporary, str(n))) for n in range(rounds))
    table.add("checkpoints, share of the training, 784-128-10", f"{share:.1f} %", "", "", "under 5")


def accuracy_by_seconds(ours: list[Clock], theirs: list[Clock]) -> Figure:
    """Accuracy on the test images by the seconds since a training began, a line for each."""
    figure = Figure(figsize=(9, 3.8))
    axes = figure.subplots()
    for clocks, label, colour in (
        (ours, "this pipeline", "tab:blue"),
        (theirs, "plain model.fit", "tab:orange"),
    ):
        for number, clock in enumerate(clocks):
            axes.plot(
                clock.elapsed,
                clock.accuracy,
                color=colour,
                marker="o",
                markersize=3,
                alpha=0.7,
                label=label if number == 0 else None,
            )
    axes.set(title="784-128-10, 10 epochs, batch 32, Adam", xlabel="seconds, compilation counted")
    axes.set_ylabel("accuracy on the test images")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    return figure


def programs(table: Table, folder: Path, rounds: int) -> None:
    """How long whole programs take."""
    script = str(Path("benchmarks/plain.py").resolve())
    with tempfile.TemporaryDirectory() as temporary:
        clone, empty = Path(temporary, "clone"), Path(temporary, "empty")
        run("git", "clone", "--quiet", ".", str(clone))
        medians = alternately(
            partial(whole, folder, clone),
            partial(run, sys.executable, script, str(folder)),
            rounds,
        )
        table.compare("whole `dvc repro`, against one plain script", medians, "more than 1")
        empty.mkdir()
        run("git", "init", "--quiet", folder=empty)
        run("dvc", "init", "--quiet", folder=empty)
        (empty / "dvc.yaml").write_text(
            "stages:\n" + "".join(f"  {name}:\n    cmd: 'true'\n" for name in "abcd")
        )
        run("dvc", "repro", "--quiet", folder=empty)
        medians = alternately(
            partial(run, "dvc", "repro", folder=clone),
            partial(run, "dvc", "repro", folder=empty),
            rounds,
        )
        table.compare("idle `dvc repro`, against four stages `true`", medians, "at least 0.77")
        medians = alternately(
            partial(peak, sys.executable, "-m", "pipeline.train", folder=clone),
            partial(peak, sys.executable, script, str(folder)),
            rounds,
        )
        table.compare("peak memory of `train`", medians, "at least 1", "MiB", 0)
    for stage in ("download", "preprocess"):
        medians = alternately(
            partial(run, sys.executable, "-c", f"import pipeline.{stage}"),
            partial(run, sys.executable, "-c", "pass"),
            rounds,
        )
        seconds = (f"{value:.2f} s" for value in medians)
        more = f"{medians[0] - medians[1]:.2f} s more"
        table.add(f"start of `{stage}`, against `python -c pass`", *seconds, more, "at most 0.6")


def main(folder: Path, rounds: int) -> None:
    """Measures everything, a line at a time."""
    table = Table()
    training(table, folder.resolve(), rounds)
    programs(table, folder.resolve(), rounds)
    text = (
        f"# Measured\n`python -m benchmarks.bench`: medians of {rounds} rounds, in turn, on "
        f"{os.cpu_count()} cores of {backend.processor()}, "
        f"TensorFlow {version('tensorflow')}, Keras {version('keras')}, DVC {version('dvc')}.\n\n"
    )
    write_bytes(RESULTS, (text + "\n".join(table.rows) + "\n").encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)  # noqa: PLR2004

"""Measures the pipeline against the plain way, alternately and in one run, and prints a table.

The figures are medians. Every pair is measured alternately, so that a machine whose speed drifts
slows down both, and each way to train has a process of its own, set up as its users would. It also
writes benchmarks/RESULTS.md and benchmarks/accuracy.png.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median, stdev

from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter
from platformdirs import user_cache_path

from benchmarks.ways import Training, Way
from pipeline.artifacts import png_bytes, write_files
from pipeline.figures import style
from pipeline.program import Parser, run
from pipeline.training import backend
from pipeline.training.compile_cache import NAME

RESULTS = Path("benchmarks/RESULTS.md")
CHART = Path("benchmarks/accuracy.png")
OTHERS = {"torch": "benchmarks.torch_eager", "jax": "benchmarks.jax_scan"}  # where installed
ENOUGH = 0.975  # accuracy on the test images
EPOCHS = 3  # the first one, which compiles, does not count


class Table:
    """Rows, printed as they come."""

    def __init__(self) -> None:
        self.rows = ["| what | pipeline | plain | ratio | to reach |", "|---|---|---|---|---|"]

    def add(self, *cells: str) -> None:
        """A row of five cells."""
        self.rows.append(f"| {' | '.join(cells)} |")
        print(self.rows[-1], flush=True)

    def compare(
        self, what: str, pair: tuple[float, float], target: str, unit: str = "s", digits: int = 2
    ) -> None:
        """A row with how many times as long the plain way takes."""
        ours, theirs = pair
        shown = (f"{value:.{digits}f} {unit}" for value in pair)
        self.add(what, *shown, f"{theirs / ours:.2f}", target)


def alternately(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> tuple[float, float]:
    """The median of each, measured in turn."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def epoch(way: Way, units: list[int], batch_size: int, **options: object) -> float:
    """Seconds of an epoch with validation, the first one apart, which compiles."""
    return median(way.train(units, batch_size, EPOCHS, **options).seconds[1:])


def until_enough(folder: Path, seeds: int) -> tuple[list[Training], list[Training], list[Training]]:
    """Trainings from an untrained network to ENOUGH, each in a new process, in turn.

    Returns:
        The pipeline's with no program compiled yet, its second ones, and the plain way's.
    """
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(temporary, "cache")
        ours = Way("benchmarks.ours", folder, lasting=False, cache=cache)
        plain = Way("benchmarks.plain", folder, lasting=False)
        rounds = []
        for seed in range(seeds):
            shutil.rmtree(cache, ignore_errors=True)
            ways = (ours, ours, plain)
            rounds.append([way.train([512], 32, 30, seed=seed, enough=ENOUGH) for way in ways])
    first, second, theirs = (list(trainings) for trainings in zip(*rounds, strict=True))
    return first, second, theirs


def checkpoint_share(way: Way) -> float:
    """Of the time of 5 epochs after the first, per cent."""
    with tempfile.TemporaryDirectory() as folder:
        training = way.train([128], 32, 6, checkpoints=Path(folder))
    return 100 * training.saving / 6 * 5 / (training.elapsed[-1] - training.elapsed[0])


def seconds_of(*command: str, folder: Path = Path(), **environment: str) -> float:
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
    return seconds_of("dvc", "repro", "--force", folder=clone, DATASET_MIRROR=str(folder))


def five_seeds(clone: Path, *options: str) -> float:
    """`make seeds` in a clone that has its data, with no result and no program in any cache."""
    shutil.rmtree(clone / ".dvc/cache/runs", ignore_errors=True)
    shutil.rmtree(user_cache_path(NAME), ignore_errors=True)
    seconds_of("dvc", "exp", "remove", "--all-commits", folder=clone)
    program = (sys.executable, "-m", "experiments.ladder", "default", "--seeds", "5")
    return seconds_of(*program, *options, folder=clone)


def training(table: Table, folder: Path, rounds: int) -> None:
    """How fast networks train, and how well."""
    ours, plain = Way("benchmarks.ours", folder), Way("benchmarks.plain", folder)
    others = {name: Way(OTHERS[name], folder) for name in OTHERS if find_spec(name)}
    for units, target in (([128], "8"), ([512], "6.5")):
        one = partial(epoch, ours, units, 32)
        medians = alternately(one, partial(epoch, plain, units, 32), rounds)
        table.compare(f"epoch with validation, 784-{units[0]}-10, batch 32", medians, target)
        for name, other in others.items():
            medians = alternately(one, partial(epoch, other, units, 32), rounds)
            what = f"the same, against {name} {version(name)}"
            table.compare(what, medians, "1" if name == "jax" else "")
    for name, filters, units in (("small", (8, 24, 44), []), ("best", (24, 56, 96, 128), [128])):
        medians = alternately(
            partial(epoch, ours, units, 128, filters=filters),
            partial(epoch, plain, units, 128, filters=filters),
            rounds,
        )
        table.compare(f"the network of `cnn-{name}`, batch 128", medians, "more than 1")
    medians = alternately(
        partial(epoch, ours, [512, 512], 128, regularised=True),
        partial(epoch, plain, [512, 512], 128, regularised=True),
        rounds,
    )
    table.compare("784-512-512-10, batch 128, all regularisation", medians, "2.5")
    medians = alternately(
        partial(epoch, ours, [512], 32, regularised=True), partial(epoch, ours, [512], 32), rounds
    )
    table.add(
        "all regularisation, against none, 784-512-10, batch 32",
        *(f"{value:.2f} s" for value in medians),
        f"{medians[0] / medians[1]:.2f}",
        "at most 1.25",
    )

    trainings = [
        [way.train([128], 32, 10, seed=seed) for seed in range(rounds)] for way in (ours, plain)
    ]
    accuracies = [[100 * one.accuracy[-1] for one in way] for way in trainings]
    table.add(
        f"accuracy after 10 epochs, 784-128-10, {rounds} seeds, mean and deviation",
        *(f"{mean(way):.2f} ± {stdev(way):.2f} %" for way in accuracies),
        f"{mean(accuracies[0]) - mean(accuracies[1]):+.2f}",
        "within 0.2",
    )
    first, second, theirs = until_enough(folder, 2 * rounds)
    what = f"training to 97.5%, 784-512-10, compilation counted, {2 * rounds} seeds"
    for which, runs, target in (("first run", first, "3.5"), ("second", second, "6")):
        pair = median_seconds(runs), median_seconds(theirs)
        table.compare(f"{what}, {which}", pair, target)
    with style():
        write_files({CHART: png_bytes(accuracy_by_seconds(first, second, theirs))})
    share = median(checkpoint_share(ours) for _ in range(rounds))
    table.add("checkpoints, share of the training, 784-128-10", f"{share:.1f} %", "", "", "under 5")


def median_seconds(trainings: list[Training]) -> float:
    """The median of how long they took."""
    return median(one.elapsed[-1] for one in trainings)


def accuracy_by_seconds(
    first: list[Training], second: list[Training], plain: list[Training]
) -> Figure:
    """`until_enough` as a picture: a line for each training, a dot for each epoch."""
    figure = Figure(figsize=(9, 4.4))
    axes = figure.subplots()
    for trainings, label, colour, marker in (
        (first, "this pipeline, first run", "tab:cyan", "^"),
        (second, "from the second run on", "tab:blue", "o"),
        (plain, "plain model.fit", "tab:orange", "s"),
    ):
        for one in trainings:
            axes.plot(
                one.elapsed, one.accuracy, color=colour, marker=marker, markersize=4, alpha=0.6
            )
        shown = f"{label}, median {median_seconds(trainings):.1f} s"
        axes.plot([], color=colour, marker=marker, label=shown)
    axes.axhline(
        ENOUGH, color="0.4", linewidth=1, linestyle="--", label=f"{ENOUGH:.1%}: training ends"
    )
    axes.set(
        title=(
            f"784-512-10 on MNIST, batch 32, Adam: {len(first)} seeds each, a line for each, "
            "a dot for each epoch"
        ),
        xlabel=f"seconds on {os.cpu_count()} cores of {backend.processor()}, compilation included",
        ylabel="accuracy on the test images",
    )
    axes.set_xlim(left=0)
    axes.yaxis.set_major_locator(MultipleLocator(0.005))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    return figure


def programs(table: Table, folder: Path, rounds: int) -> None:
    """How long whole programs take."""
    script = (sys.executable, "-m", "benchmarks.plain", str(folder))
    with tempfile.TemporaryDirectory() as temporary:
        clone, empty = Path(temporary, "clone"), Path(temporary, "empty")
        seconds_of("git", "clone", "--quiet", ".", str(clone))
        whole(folder, clone)  # from then on, no program is compiled
        medians = alternately(
            partial(whole, folder, clone),
            partial(seconds_of, *script),
            rounds,
        )
        table.compare("whole `dvc repro`, against one plain script", medians, "3")
        medians = alternately(
            partial(five_seeds, clone), partial(five_seeds, clone, "--no-compile-cache"), rounds
        )
        table.compare("five seeds, one compilation, against five", medians, "2")
        empty.mkdir()
        seconds_of("git", "init", "--quiet", folder=empty)
        seconds_of("dvc", "init", "--quiet", folder=empty)
        (empty / "dvc.yaml").write_text(
            "stages:\n" + "".join(f"  {name}:\n    cmd: 'true'\n" for name in "abcd")
        )
        seconds_of("dvc", "repro", "--quiet", folder=empty)
        medians = alternately(
            partial(seconds_of, "dvc", "repro", folder=clone),
            partial(seconds_of, "dvc", "repro", folder=empty),
            rounds,
        )
        table.compare("idle `dvc repro`, against four stages `true`", medians, "at least 0.77")
        medians = alternately(
            partial(peak, sys.executable, "-m", "pipeline.train", folder=clone),
            partial(peak, *script),
            rounds,
        )
        table.compare("peak memory of `train`", medians, "at least 1", "MiB", 0)
    for stage in ("download", "preprocess"):
        medians = alternately(
            partial(seconds_of, sys.executable, "-c", f"import pipeline.{stage}"),
            partial(seconds_of, sys.executable, "-c", "pass"),
            rounds,
        )
        seconds = (f"{value:.2f} s" for value in medians)
        more = f"{medians[0] - medians[1]:.2f} s more"
        table.add(f"start of `{stage}`, against `python -c pass`", *seconds, more, "at most 0.6")


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.bench", __doc__)
    arguments.add_argument("folder", type=Path, help="of MNIST's four archives")
    arguments.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="of each pair (default: %(default)s)"
    )
    return arguments


def main(options: argparse.Namespace) -> None:
    """Measures everything, a line at a time."""
    folder, rounds = options.folder.resolve(), options.rounds
    table = Table()
    with tempfile.TemporaryDirectory() as caches:
        os.environ["XDG_CACHE_HOME"] = caches
        training(table, folder, rounds)
        programs(table, folder, rounds)
    text = (
        f"# Measured\n`python -m benchmarks.bench`: medians of {rounds} rounds, in turn, on "
        f"{os.cpu_count()} cores of {backend.processor()}, "
        f"TensorFlow {version('tensorflow')}, Keras {version('keras')}, DVC {version('dvc')}.\n\n"
    )
    write_files({RESULTS: (text + "\n".join(table.rows) + "\n").encode()})


if __name__ == "__main__":
    run(parser(), main)

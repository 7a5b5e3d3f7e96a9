"""Measures the pipeline against the plain way, in turn and in one run, and prints a table.

`python -m benchmarks.bench FOLDER [ROUNDS]`, where FOLDER holds MNIST's four archives. The figures
are medians; every pair is measured alternately, so that a machine whose speed drifts slows down
both. It writes benchmarks/RESULTS.md too.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median

from pipeline import backend
from pipeline.split import Split

backend.start()

import keras  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks import plain  # noqa: E402
from pipeline.fit import fit  # noqa: E402
from pipeline.models import mlp  # noqa: E402

RESULTS = Path("benchmarks/RESULTS.md")
ENOUGH = 0.975  # accuracy on the test images


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, validation included; ends the training at an accuracy."""

    def __init__(self, enough: float = 2.0) -> None:
        super().__init__()
        self.enough = enough
        self.seconds: list[float] = []
        self.accuracy: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        """Called by Keras."""
        self.seconds.append(time.perf_counter() - self.started)
        self.accuracy.append(logs["val_accuracy"])
        self.model.stop_training = logs["val_accuracy"] >= self.enough


class Ours:
    """The engine of `pipeline.fit`."""

    def __init__(self, folder: Path) -> None:
        self.train, self.test = (
            Split((images * 255).astype(np.uint8), labels, tuple("0123456789"))
            for images, labels in (plain.load(folder, name) for name in ("train", "t10k"))
        )

    def fit(self, units: list[int], batch_size: int, epochs: int, clock: Clock) -> None:
        """Trains a new network."""
        fit(
            mlp((28, 28), 10, 1 / 255, units),
            self.train,
            self.test,
            optimizer=keras.optimizers.Adam(),
            epochs=epochs,
            batch_size=batch_size,
            seed=int(np.random.default_rng().integers(2**32)),
            callbacks=[clock],
        )


class Plain:
    """`model.fit` on the arrays."""

    def __init__(self, folder: Path) -> None:
        self.train, self.test = (plain.load(folder, name) for name in ("train", "t10k"))

    def fit(self, units: list[int], batch_size: int, epochs: int, clock: Clock) -> None:
        """Trains a new network."""
        plain.build(units).fit(
            *self.train,
            batch_size=batch_size,
            epochs=epochs,
            validation_data=self.test,
            callbacks=[clock],
            verbose=0,
        )


def alternately(
    ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> tuple[float, float]:
    """The median of each, measured in turn."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def epoch_seconds(way: Ours | Plain, units: list[int], batch_size: int) -> float:
    """An epoch with validation, after one that compiles."""
    clock = Clock()
    way.fit(units, batch_size, 3, clock)
    return median(clock.seconds[1:])


def seconds_until_enough(way: Ours | Plain) -> float:
    """From an untrained network, not compiled, to ENOUGH."""
    started = time.perf_counter()
    way.fit([512], 32, 30, Clock(ENOUGH))
    return time.perf_counter() - started


def accuracies(way: Ours | Plain, units: list[int], seeds: int) -> list[float]:
    """On the test images after 10 epochs, for each seed."""
    found = []
    for seed in range(seeds):
        keras.utils.set_random_seed(seed)
        clock = Clock()
        way.fit(units, 32, 10, clock)
        found.append(clock.accuracy[-1])
    return found


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


def main(folder: Path, rounds: int) -> None:
    """Measures everything, a line at a time."""
    folder = folder.resolve()
    rows: list[tuple[str, str, str, str, str]] = []

    def add(what: str, ours: float, theirs: float, target: str, unit: str = "s") -> None:
        ratio = theirs / ours
        rows.append((what, f"{ours:.2f} {unit}", f"{theirs:.2f} {unit}", f"{ratio:.2f}", target))
        print(" | ".join(rows[-1]), flush=True)

    ours, theirs = Ours(folder), Plain(folder)
    for units, target in (([128], "8"), ([512], "6.5")):
        medians = alternately(
            lambda units=units: epoch_seconds(ours, units, 32),  # type: ignore[misc]
            lambda units=units: epoch_seconds(theirs, units, 32),  # type: ignore[misc]
            rounds,
        )
        add(f"epoch with validation, 784-{units[0]}-10, batch 32", *medians, target)
    ours_accuracy, plain_accuracy = (accuracies(way, [128], rounds) for way in (ours, theirs))
    for statistic, compute in (("mean", np.mean), ("deviation", np.std)):
        mine, other = (100 * float(compute(found)) for found in (ours_accuracy, plain_accuracy))
        what = f"accuracy after 10 epochs, 784-128-10, {statistic} of {rounds} seeds"
        add(what, mine, other, "within 0.2" if statistic == "mean" else "", "%")
    medians = alternately(
        lambda: seconds_until_enough(ours), lambda: seconds_until_enough(theirs), rounds
    )
    add("training to 97.5%, 784-512-10, compilation counted", *medians, "6")

    with tempfile.TemporaryDirectory() as temporary:
        clone, empty = Path(temporary, "clone"), Path(temporary, "empty")
        run("git", "clone", "--quiet", ".", str(clone))
        script = str(Path("benchmarks/plain.py").resolve())
        medians = alternately(
            lambda: whole(folder, clone),
            lambda: run(sys.executable, script, str(folder)),
            rounds,
        )
        add("whole `dvc repro`, against one plain script", *medians, "more than 1")
        empty.mkdir()
        run("git", "init", "--quiet", folder=empty)
        run("dvc", "init", "--quiet", folder=empty)
        (empty / "dvc.yaml").write_text(
            "stages:\n" + "".join(f"  {name}:\n    cmd: 'true'\n" for name in "abcd")
        )
        run("dvc", "repro", "--quiet", folder=empty)
        medians = alternately(
            lambda: run("dvc", "repro", folder=clone),
            lambda: run("dvc", "repro", folder=empty),
            rounds,
        )
        add("idle `dvc repro`, against four stages `true`", *medians, "0.77")
        memory = alternately(
            lambda: peak(sys.executable, "-m", "pipeline.train", folder=clone),
            lambda: peak(sys.executable, script, str(folder)),
            rounds,
        )
        add("peak memory of `train`", *memory, "1", "MiB")
    for stage in ("download", "preprocess"):
        medians = alternately(
            lambda stage=stage: run(sys.executable, "-c", f"import pipeline.{stage}"),  # type: ignore[misc]
            lambda: run(sys.executable, "-c", "pass"),
            rounds,
        )
        add(f"start of `{stage}`, against `python -c pass`", *medians, "at most 0.6 s more")

    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    RESULTS.write_text(
        f"# Measured\n`python -m benchmarks.bench`: medians of {rounds} rounds, in turn, on "
        f"{os.cpu_count()} cores of {processor()}, "
        f"TensorFlow {version('tensorflow')}, Keras {version('keras')}, DVC {version('dvc')}.\n\n"
        f"| what | pipeline | plain | ratio | to reach |\n|---|---|---|---|---|\n{table}\n"
    )


def processor() -> str:
    """The name of the processor, as far as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 5)  # noqa: PLR2004

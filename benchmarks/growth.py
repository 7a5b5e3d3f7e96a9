"""Measures how time and memory grow with the images, and writes benchmarks/GROWTH.md.

The images are MNIST's, repeated with noise, in IDX files; the stages run in a clone, one after the
other, each in a process of its own.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.archives import load
from benchmarks.bench import seconds_of
from pipeline.artifacts import write_files
from pipeline.program import Parser, run
from pipeline.training import backend
from tests.support import set_param

RESULTS = Path("benchmarks/GROWTH.md")
COUNTS = (60_000, 600_000, 3_000_000, 6_000_000)  # training images
SHARE = 6  # training images for each test image
SIZE = 28 * 28  # bytes of an image
AT_ONCE = 10_000  # images to make
ROOM = 2.5  # times the bytes of all images: the source, what preprocess makes of it, and some
EPOCHS = 2  # the first one compiles
STREAMED = """
from pipeline import paths, train
from pipeline.params import load
train.MEMORY_SHARE = 0
train.main(load(paths.PARAMS))
"""
HEADER = [
    "| images | stage | seconds | µs an image | peak memory, MiB |",
    "|---|---|---|---|---|",
]


class Run(NamedTuple):
    """What a program took."""

    seconds: float
    peak: float  # MiB
    output: str


def measured(folder: Path, *arguments: str) -> Run:
    """Runs Python in `folder`.

    A small process starts it: a child of this one would begin with the peak of this one.
    """
    program = (
        "import resource, subprocess, sys, time\n"
        "started = time.perf_counter()\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "seconds = time.perf_counter() - started\n"
        "print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    command = (sys.executable, "-c", program, sys.executable, *arguments)
    result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    *output, last = result.stdout.splitlines()
    seconds, peak = last.split()
    return Run(float(seconds), int(peak) / 1024, "\n".join(output))


def make(mnist: Path, folder: Path, count: int) -> None:
    """Writes a dataset of `count` training images, and fewer for the test."""
    folder.mkdir()
    names = ", ".join(f'"{digit}"' for digit in range(10))
    (folder / "dataset.yaml").write_text(f"class_names: [{names}]\n")
    generator = np.random.default_rng(0)
    for name, own in (("train", count), ("t10k", count // SHARE)):
        images, labels = load(mnist, name)
        with (
            (folder / f"{name}-images-idx3-ubyte").open("wb") as pixels,
            (folder / f"{name}-labels-idx1-ubyte").open("wb") as classes,
        ):
            pixels.write(bytes([0, 0, 8, 3]) + np.array([own, *images.shape[1:]], ">u4").tobytes())
            classes.write(bytes([0, 0, 8, 1]) + np.array([own], ">u4").tobytes())
            for start in range(0, own, AT_ONCE):
                which = np.arange(start, min(own, start + AT_ONCE)) % len(images)
                noise = generator.integers(0, 8, (len(which), *images.shape[1:]), np.uint8)
                pixels.write((images[which] ^ noise).tobytes())
                classes.write(labels[which].tobytes())


def epoch_seconds(output: str) -> float:
    """Of the last epoch in what the stage train prints."""
    return float(output.partition(f"epoch {EPOCHS}/{EPOCHS}")[2].split()[4])


def rows(mnist: Path, clone: Path, count: int) -> list[str]:
    """The rows of the table for `count` training images."""
    folder = clone / "data/sources/growth"
    shutil.rmtree(folder, ignore_errors=True)
    make(mnist, folder, count)
    total, trained = count + count // SHARE, count - count // 10
    lines = []

    def row(what: str, images: int, seconds: float, peak: float) -> None:
        each = 1e6 * seconds / images
        lines.append(f"| {images:,} | {what} | {seconds:.1f} | {each:.2f} | {peak:,.0f} |")
        print(lines[-1], flush=True)

    for stage in ("download", "preprocess"):
        found = measured(clone, "-m", f"pipeline.{stage}")
        row(stage, total, found.seconds, found.peak)
    for what, arguments in (
        ("train, an epoch", ("-m", "pipeline.train")),
        ("train, an epoch, streamed", ("-c", STREAMED)),
    ):
        found = measured(clone, *arguments)
        row(what, trained, epoch_seconds(found.output), found.peak)
    found = measured(clone, "-m", "pipeline.evaluate")
    row("evaluate", count // SHARE, found.seconds, found.peak)
    return lines


def page(lines: list[str]) -> str:
    """The text of benchmarks/GROWTH.md."""
    table = "\n".join([*HEADER, *lines])
    return f"""# Growth
By `python -m benchmarks.growth MNIST`, on {os.cpu_count()} cores of {backend.processor()}.
MNIST's images of {SIZE} bytes, repeated with noise; 784-512-10, batch 32, Adam. A tenth of the
training images is held out for validation, and there are a sixth as many test images. Seconds of an
epoch include its validation; those of other stages include the start of Python, and of TensorFlow.

{table}
"""


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.growth", __doc__)
    arguments.add_argument("mnist", type=Path, help="the folder with MNIST's archives")
    arguments.add_argument(
        "--most",
        type=int,
        default=COUNTS[-1],
        metavar="N",
        help="training images (default: %(default)s, or as many as the disk has room for)",
    )
    return arguments


def main(options: argparse.Namespace) -> None:
    """Measures, prints the rows as they come, and writes the page."""
    mnist = options.mnist.resolve()
    print(*HEADER, sep="\n", flush=True)
    lines = []
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary, "clone")
        seconds_of("git", "clone", "--quiet", ".", str(clone))
        for key, value in {
            "dataset.name": "growth",
            "preprocess.validation": 0.1,
            "train.epochs": EPOCHS,
        }.items():
            set_param(clone / "params.yaml", key, value)
        for count in COUNTS:
            room = shutil.disk_usage(clone).free
            if count <= options.most and ROOM * (count + count // SHARE) * SIZE < room:
                lines += rows(mnist, clone, count)
    write_files({RESULTS: page(lines).encode()})


if __name__ == "__main__":
    run(parser(), main)

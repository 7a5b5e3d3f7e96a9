"""Measures how fast pictures in folders become data/processed, and in how much memory.

The pictures are Fashion-MNIST or MNIST as 70,000 PNGs. The plain ways are a loop of Pillow, and
Keras's image_dataset_from_directory read through once. Figures are medians, measured alternately.
Writes benchmarks/PICTURES.md.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

from PIL import Image

from benchmarks import archives
from benchmarks.bench import Table, alternately, peak, seconds_of
from pipeline.artifacts import write_files
from pipeline.program import Parser, run
from pipeline.training import backend

RESULTS = Path("benchmarks/PICTURES.md")
TENTH = 10  # for memory: all pictures against every tenth


def draw(archive: Path, folder: Path, step: int = 1) -> None:
    """Writes every `step`-th image as a PNG into `folder`/SPLIT/CLASS."""
    for split, name in (("train", "train"), ("test", "t10k")):
        images, labels = archives.load(archive, name)
        for label in set(labels.tolist()):
            (folder / split / str(label)).mkdir(parents=True)
        for number in range(0, len(images), step):
            path = folder / split / str(labels[number]) / f"{number:05}.png"
            Image.fromarray(images[number]).save(path)


def stage(name: str) -> tuple[str, ...]:
    """The command that runs a stage."""
    return (sys.executable, "-m", f"pipeline.{name}")


def clone_with(folder: Path, pictures: str) -> None:
    """A clone of this repository that has data/sources/`pictures` to read."""
    if not folder.exists():
        seconds_of("git", "clone", "--quiet", ".", str(folder))
    params = folder / "params.yaml"
    lines = params.read_text().splitlines(keepends=True)
    at = lines.index("dataset:\n") + 1
    params.write_text("".join([*lines[:at], f"  name: {pictures}\n", *lines[at + 1 :]]))


def main(options: argparse.Namespace) -> None:
    """Measures everything, a line at a time."""
    table = Table()
    with tempfile.TemporaryDirectory() as temporary:
        clone, output = Path(temporary, "clone"), Path(temporary, "arrays")
        clone_with(clone, "all")
        pictures = clone / "data/sources/all"
        draw(options.folder.resolve(), pictures)
        draw(options.folder.resolve(), clone / "data/sources/tenth", TENTH)
        seconds_of(*stage("download"), folder=clone)
        ours = partial(seconds_of, *stage("preprocess"), folder=clone)
        plain = {
            "Pillow in a loop": (
                *(sys.executable, "-m", "benchmarks.pillow_loop", str(pictures)),
                str(output),
            ),
            "image_dataset_from_directory": (
                *(sys.executable, "-m", "benchmarks.keras_folder", str(pictures)),
            ),
        }
        for name, command in plain.items():
            medians = alternately(ours, partial(seconds_of, *command), options.rounds)
            table.compare(f"70,000 PNGs to data/processed, against {name}", medians, "1.5")
        listing = median(
            seconds_of(*stage("download"), folder=clone) for _ in range(options.rounds)
        )
        table.add("their list with digests, by the stage before", f"{listing:.2f} s", "", "", "")
        of_all = peak(*stage("preprocess"), folder=clone)
        clone_with(clone, "tenth")
        seconds_of(*stage("download"), folder=clone)
        of_a_tenth = peak(*stage("preprocess"), folder=clone)
        what = "peak memory of the largest process, 70,000 against 7,000 PNGs"
        shown = (f"{value:.0f} MiB" for value in (of_all, of_a_tenth))
        table.add(what, *shown, f"{of_all / of_a_tenth:.2f}", "at most 1.1")
    versions = f"Pillow {version('pillow')}, Keras {version('keras')}"
    text = (
        f"# Pictures\n`python -m benchmarks.pictures`: medians of {options.rounds} rounds, in "
        f"turn, on {os.cpu_count()} cores of {backend.processor()}, {versions}.\n\n"
    )
    write_files({RESULTS: (text + "\n".join(table.rows) + "\n").encode()})


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.pictures", __doc__)
    arguments.add_argument("folder", type=Path, help="of MNIST's or Fashion-MNIST's four archives")
    arguments.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="of each pair (default: %(default)s)"
    )
    return arguments


if __name__ == "__main__":
    run(parser(), main)

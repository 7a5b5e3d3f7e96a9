"""Classifies pictures, or the rows of a table of pixels, with the model of the last run.

They are prepared as the images that the model learned from. The result is a table: the picture's
path or the row's number from 1, its class, and the probability that the model gives it.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline import paths
from pipeline.artifacts import csv_bytes, write_output
from pipeline.data import csvfile, files, table
from pipeline.data.datasets import Description
from pipeline.data.files import Entry, Files
from pipeline.data.parts import Chunk, Part, file_chunks
from pipeline.data.pixels import decode_into
from pipeline.data.sources import Labelled
from pipeline.errors import InputError, listed
from pipeline.program import Parser, emit, run
from pipeline.score import predictions_of
from pipeline.training import inference

HEADER = ("image", "class", "probability")


@dataclass(frozen=True)
class Images:
    """What to classify, not decoded yet."""

    names: list[str]
    part: Part


def images_in(location: Path, model_shape: tuple[int, ...]) -> Images:
    """The pictures in a folder, a picture, or the rows of a CSV table.

    Args:
        location: where they are.
        model_shape: of the images that the model takes.

    Raises:
        InputError: there are none.
    """
    if not location.exists():
        raise InputError(f"{location}: no such file or folder")
    if location.suffix == ".csv":
        read = table.pixel_table(location, str(location), _described(location, model_shape))
        names = [str(row) for row, _ in enumerate(read.lines(), start=1)]
        return Images(names, _part(location, len(names), read.chunks))
    found = [path for path in files.walk(location) if files.kind_of(path) == "folder"]
    if not found:
        raise InputError(
            f"{location}: found no picture, expected some; a table is given by its own name"
        )
    root = location if location.is_dir() else location.parent
    entries = [Entry(path) for path in found]
    return Images(found, _part(location, len(found), partial(file_chunks, Files(root), entries)))


def _described(location: Path, model_shape: tuple[int, ...]) -> Description:
    """The shape of the images in a table: the model's if it fits, else they are square."""
    columns = len(csvfile.first_rows(location, str(location))[0])
    if math.prod(model_shape) in (columns, columns - 1):
        return Description(shape=list(model_shape))
    return Description()


def _part(location: Path, count: int, chunks: Callable[[], Iterator[Chunk]]) -> Part:
    return Part("test", str(location), np.zeros(count, np.int32), ("",), chunks)


def classify(model: Path, location: Path) -> tuple[list[tuple[str, str, float]], int]:
    """Classifies what is in `location`.

    Args:
        model: a `.keras` file, raw pixels to logits.
        location: pictures or a table.

    Returns:
        For each image that could be read what it is called, its class, and the probability of
        this class; and how many images could not be read.

    Raises:
        InputError: there is no such model, or nothing to classify.
    """
    about, shape = inference.about(model), inference.input_shape(model)
    class_names = np.array(about.get("class_names", []))
    if not len(class_names):
        raise InputError(f"{model}: does not say its class names, expected a model of dvc repro")
    images = images_in(location, shape)
    with TemporaryDirectory() as folder:
        scratch = Path(folder, "pixels")
        pixels = decode_into(
            scratch,
            Labelled((images.part,), images.part.labels.astype(np.int64), ("",)),
            size=shape[:2],
            channels=3 if shape[2:] else 1,
            fit=about.get("fit", "pad"),
            broken="skip",
        )
        readable = np.flatnonzero(pixels.healthy)
        if not len(readable):
            raise InputError(f"{location}: found no picture that can be read, expected some")
        decoded = np.memmap(scratch, np.uint8, "r", shape=(len(readable), *shape))
        logits = inference.predict(model, decoded, len(class_names))
        found, _loss = predictions_of(logits, np.zeros(len(readable), np.intp))
    names = [images.names[index] for index in readable]
    classes = class_names[found.predicted].tolist()
    rows = list(zip(names, classes, found.probability.tolist(), strict=True))
    return rows, len(images.names) - len(rows)


def main(options: argparse.Namespace) -> int:
    """Classifies, and writes or prints the table."""
    header = options.header.split(",")
    if not 1 < len(header) <= len(HEADER):
        raise InputError(
            f"--header: found {options.header!r}, expected 2 or 3 names, such as ImageId,Label"
        )
    rows, broken = classify(options.model, options.location)
    classes = inference.about(options.model)["class_names"]
    print(f"{options.model} knows the classes {listed(classes)}", file=sys.stderr)
    shown = [(name, label, f"{sure:.6f}")[: len(header)] for name, label, sure in rows]
    content = csv_bytes(header, shown)
    if options.csv is None:
        emit(content.decode(), sys.stdout)
    else:
        write_output(options.csv, content)
        emit(f"{options.csv}: {len(rows):,} classified\n", sys.stdout)
    return InputError.exit_code if broken else 0


def _location(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("found nothing, expected make predict FILES=FOLDER")
    return Path(text)


def parser() -> Parser:
    """The arguments."""
    arguments = Parser("pipeline.predict", __doc__)
    arguments.add_argument(
        "location", type=_location, help="a folder of pictures, a picture or a .csv"
    )
    arguments.add_argument(
        "--csv", type=Path, metavar="FILE", help="where to write the table (default: print it)"
    )
    arguments.add_argument(
        "--header",
        default=",".join(HEADER),
        metavar="NAMES",
        help="of the table; two names leave the probability out (default: %(default)s)",
    )
    arguments.add_argument(
        "--model",
        type=Path,
        default=paths.MODEL,
        metavar="FILE",
        help="another model (default: %(default)s)",
    )
    return arguments


if __name__ == "__main__":
    run(parser(), main)

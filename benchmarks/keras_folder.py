"""The plain way: pictures in folders, read through once by Keras's image_dataset_from_directory."""

import argparse
from pathlib import Path

import keras

from pipeline.program import Parser, run

SIDE = 28  # pixels


def main(options: argparse.Namespace) -> None:
    """Reads every batch."""
    for split in ("train", "test"):
        images = keras.utils.image_dataset_from_directory(
            options.folder / split, color_mode="grayscale", image_size=(SIDE, SIDE), shuffle=False
        )
        for _ in images:
            pass


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.keras_folder", __doc__)
    arguments.add_argument("folder", type=Path, help="with train/CLASS and test/CLASS")
    return arguments


if __name__ == "__main__":
    run(parser(), main)

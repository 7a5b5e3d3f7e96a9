"""The plain way: pictures in folders, decoded by Pillow one by one, and saved as arrays."""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.program import Parser, run


def main(options: argparse.Namespace) -> None:
    """Decodes all and saves images.npy and labels.npy for each split."""
    for split in ("train", "test"):
        images, labels = [], []
        for label, folder in enumerate(sorted((options.folder / split).iterdir())):
            for path in sorted(folder.iterdir()):
                with Image.open(path) as image:
                    images.append(np.asarray(image))
                labels.append(label)
        target = options.output / split
        target.mkdir(parents=True, exist_ok=True)
        np.save(target / "images.npy", np.stack(images))
        np.save(target / "labels.npy", np.array(labels, np.uint8))


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.pillow_loop", __doc__)
    arguments.add_argument("folder", type=Path, help="with train/CLASS and test/CLASS")
    arguments.add_argument("output", type=Path, help="the folder to write")
    return arguments


if __name__ == "__main__":
    run(parser(), main)

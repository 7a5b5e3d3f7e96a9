"""Draws docs/augmentations.png: ten digits of the sample of MNIST, as each option changes them."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments import sets
from pipeline import figures, paths
from pipeline.artifacts import png_bytes, write_files
from pipeline.data import idx
from pipeline.program import Parser, run
from pipeline.training import backend

PICTURE = Path("docs/augmentations.png")
SAMPLE = paths.SOURCES / "mnist_sample"
OPTIONS: dict[str, dict[str, Any]] = {
    "as they are": {},
    "shift: 3": {"shift": 3},
    "rotation: 30": {"rotation": 30.0},
    "zoom: 0.3": {"zoom": 0.3},
    "shear: 30": {"shear": 30.0},
    "elastic: 4": {"elastic": 4.0},
    "elastic: 4,\nelastic_grid: 4": {"elastic": 4.0, "elastic_grid": 4},
    "elastic: 2,\nelastic_grid: 4": {"elastic": 2.0, "elastic_grid": 4},
    "as in mlp-best": {
        key.removeprefix("augment."): value
        for key, value in sets.named("mlp-best").items()
        if key.startswith("augment.")
    },
    "flip: true": {"flip": True},
    "erase: 8": {"erase": 8},
}


def digits() -> NDArray[np.uint8]:
    """(10, 28, 28) the first image of each digit in the sample."""
    files = (SAMPLE / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    images, labels = (np.concatenate([*idx.stored(file, str(file)).rows(1000)]) for file in files)
    return images[np.unique(labels, return_index=True)[1]]


def augmented(images: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """`images` as each of OPTIONS changes them, by the same random numbers."""
    backend.start()
    import keras
    import tensorflow as tf

    from pipeline.training.augment import Augmentation
    from pipeline.training.randomness import RandomStream

    stream = RandomStream(0, keras.optimizers.SGD())
    indices = tf.range(len(images))

    def change(augmentation: Augmentation) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = augmentation.gather(tf.constant(images), indices, stream).numpy()
        return found

    return {name: change(Augmentation(**options)) for name, options in OPTIONS.items()}


def draw(rows: dict[str, NDArray[np.uint8]]) -> Figure:
    """A row of images for each option, with its name beside it."""
    figure = Figure(figsize=(9, 0.72 * len(rows)))
    grid = figure.subplots(len(rows), len(next(iter(rows.values()))))
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image, **figures.grey(255))
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def main(_options: argparse.Namespace) -> None:
    """Draws the picture."""
    rows = augmented(digits())
    with figures.style():
        write_files({PICTURE: png_bytes(draw(rows))})


if __name__ == "__main__":
    run(Parser("benchmarks.augmentations", __doc__), main)

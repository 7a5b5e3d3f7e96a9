"""The plain way: what a good user of Keras writes from its documentation.

As a program it loads MNIST from its four archives, fits 784-512-10 for 10 epochs, and evaluates it.
"""

import argparse
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.archives import Bytes, load
from benchmarks.ways import Training
from pipeline.program import Parser, run

if TYPE_CHECKING:
    import keras


@cache
def scaled(folder: Path, name: str) -> tuple[NDArray[np.float32], Bytes]:
    """The images of `train` or `t10k` from 0 to 1, and their labels."""
    images, labels = noise(name) if str(folder) == os.devnull else load(folder, name)
    return images.astype(np.float32) / np.float32(255), labels


def noise(name: str) -> tuple[Bytes, Bytes]:
    """As many random images, with random labels; to learn them takes as long."""
    generator = np.random.default_rng(0)
    count = 60_000 if name == "train" else 10_000
    images = generator.integers(0, 256, (count, 28, 28), np.uint8)
    return images, generator.integers(0, 10, count, np.uint8)


def build(
    hidden_units: list[int], *, filters: Sequence[int] = (), regularised: bool = False
) -> "keras.Model":
    """A compiled network of fully connected layers, after convolutions if there are `filters`.

    Args:
        hidden_units: neurons of each hidden layer.
        filters: of each convolution.
        regularised: add Keras's own dropout and shifts, weight decay, and label smoothing, which
            takes one-hot labels.
    """
    import keras

    hidden = [
        [
            keras.layers.Dense(units, activation="relu"),
            *([keras.layers.Dropout(0.2)] if regularised else []),
        ]
        for units in hidden_units
    ]
    shift = [
        keras.layers.Reshape((28, 28, 1)),
        keras.layers.RandomTranslation(2 / 28, 2 / 28, "constant", interpolation="nearest"),
    ]
    convolutions = [
        [
            keras.layers.Conv2D(count, 3, padding="same", use_bias=False),
            keras.layers.MaxPooling2D(2, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
        for count in filters
    ]
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            *(shift if regularised else []),
            *([keras.layers.Reshape((28, 28, 1))] if filters else []),
            *[layer for block in convolutions for layer in block],
            keras.layers.Flatten(),
            *[layer for block in hidden for layer in block],
            keras.layers.Dense(10),
        ]
    )
    if regularised:
        model.compile(
            optimizer=keras.optimizers.Adam(weight_decay=1e-4),
            loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            metrics=["accuracy"],
        )
    else:
        model.compile(
            optimizer="adam",
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    return model


def train(
    folder: Path,
    units: list[int],
    batch_size: int,
    epochs: int,
    *,
    seed: int = 0,
    filters: Sequence[int] = (),
    regularised: bool = False,
    enough: float = 2.0,
) -> Training:
    """Trains a new network until its accuracy on the test images is `enough`.

    If `folder` is /dev/null, of random images.
    """
    import keras

    from benchmarks.clock import Clock

    (images, labels), (test_images, test_labels) = (
        scaled(folder, name) for name in ("train", "t10k")
    )
    if regularised:  # smoothing takes one-hot labels
        labels, test_labels = map(keras.utils.to_categorical, (labels, test_labels))
    keras.utils.set_random_seed(seed)
    clock = Clock(enough)
    build(units, filters=filters, regularised=regularised).fit(
        images,
        labels,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=(test_images, test_labels),
        callbacks=[clock],
        verbose=0,
    )
    return clock.training


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.plain", __doc__)
    arguments.add_argument("folder", type=Path, help="of MNIST's four archives")
    return arguments


def main(options: argparse.Namespace) -> None:
    """Loads, fits, evaluates."""
    folder = options.folder
    train_images, train_labels = scaled(folder, "train")
    test_images, test_labels = scaled(folder, "t10k")
    model = build([512])
    model.fit(
        train_images,
        train_labels,
        epochs=10,
        validation_data=(test_images, test_labels),
        verbose=2,
    )
    print(model.evaluate(test_images, test_labels, verbose=0))


if __name__ == "__main__":
    run(parser(), main)

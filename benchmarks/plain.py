"""The plain way: what a good user of Keras writes from its documentation.

`python benchmarks/plain.py FOLDER` loads MNIST from the four archives in FOLDER, fits the network
and the number of epochs of params.yaml, and evaluates it.
"""

import gzip
import sys
from pathlib import Path

import keras
import numpy as np


def load(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The images, (N, 28, 28) float32 from 0 to 1, and the labels, (N,), of `train` or `t10k`."""
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return images.astype("float32") / 255, labels


def build(hidden_units: list[int], *, regularised: bool = False) -> keras.Model:
    """A compiled network of fully connected layers.

    `regularised`: with Keras's own layers for dropout and shifts, weight decay, and smoothed labels
    (then of one number per class).
    """
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
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            *(shift if regularised else []),
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


def main(folder: Path) -> None:
    """Loads, fits, evaluates."""
    train_images, train_labels = load(folder, "train")
    test_images, test_labels = load(folder, "t10k")
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
    main(Path(sys.argv[1]))

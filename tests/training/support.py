"""Small images and networks, which train in no time."""

import keras
import numpy as np

from pipeline.data.split import Split
from pipeline.training.models import mlp
from pipeline.training.randomness import RandomStream

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def images(count: int, seed: int = 0) -> Split:
    """Squares of 4x4 pixels whose class is the side on which they are bright."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count).astype(np.uint8)
    pixels = generator.integers(0, 128, (count, 4, 4)).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[:, 2 * label : 2 * label + 2] += 100
    return Split(pixels, labels, ("left", "right"), 255)


def colours(count: int, seed: int = 0, shares: tuple[float, ...] = (0.7, 0.2, 0.1)) -> Split:
    """Squares of 8x8 pixels whose class, one of three uneven ones, is the colour in the middle."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), np.rint(np.multiply(shares, count)).astype(int))
    generator.shuffle(labels)
    pixels = generator.integers(0, 128, (len(labels), 8, 8, 3)).astype(np.uint8)
    pixels[np.arange(len(labels)), 2:6, 2:6, labels] += 60
    return Split(pixels, labels.astype(np.uint8), ("red", "green", "blue"), 255)


def of_300_classes(split: Split) -> Split:
    """The same images, of the last of 300 classes, whose numbers do not fit in a byte."""
    names = (
        *(f"class {number}" for number in range(300 - len(split.class_names))),
        *split.class_names,
    )
    labels = split.labels.astype(np.uint16) + np.uint16(300 - len(split.class_names))
    return Split(split.images, labels, names, split.largest_pixel)


def network(seed: int = 0, dropout: float = 0.0) -> keras.Model:
    """One hidden layer of 8 neurons."""
    keras.utils.set_random_seed(seed)
    return mlp((4, 4), 2, 1 / 255, hidden_units=[8], dropout=dropout)


def stream(seed: int = 0, step: int = 0) -> RandomStream:
    """The random numbers of a step."""
    optimizer = keras.optimizers.SGD()
    optimizer.iterations.assign(step)
    return RandomStream(seed, optimizer)

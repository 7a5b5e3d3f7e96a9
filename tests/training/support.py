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


def network(seed: int = 0, dropout: float = 0.0) -> keras.Model:
    """One hidden layer of 8 neurons."""
    keras.utils.set_random_seed(seed)
    return mlp((4, 4), 2, 1 / 255, hidden_units=[8], dropout=dropout)


def stream(seed: int = 0, step: int = 0) -> RandomStream:
    """The random numbers of a step."""
    optimizer = keras.optimizers.SGD()
    optimizer.iterations.assign(step)
    return RandomStream(seed, optimizer)

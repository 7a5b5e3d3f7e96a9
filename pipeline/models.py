"""The architectures: a builder for each, in one table.

A builder takes the shape of an image, the number of classes, the factor that takes a pixel to 0..1,
and its own keys of `model` in params.yaml. Its network takes raw pixels, (N, height, width) uint8,
and gives logits, (N, classes) float32.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import layers


class Architecture(NamedTuple):
    """A row of MODELS."""

    build: Callable[..., keras.Model]
    compiled: bool  # by XLA, which on a CPU is fast unless there are convolutions


def mlp(
    shape: tuple[int, ...], classes: int, scale: float, *, hidden_units: list[int], dropout: float
) -> keras.Sequential:
    """Fully connected layers."""
    return keras.Sequential(
        [
            *_pixels(shape, scale),
            layers.Flatten(name="flatten"),
            *_head(classes, hidden_units, dropout),
        ],
        name="mlp",
    )


def cnn(
    shape: tuple[int, ...],
    classes: int,
    scale: float,
    *,
    filters: list[int],
    hidden_units: list[int],
    dropout: float,
) -> keras.Sequential:
    """Convolutions of 3x3, each halved by a maximum over 2x2 and normalized by batch; then layers.

    The maximum comes before the normalization, which then has a quarter of the work.
    (LeCun et al., Proc. IEEE 86, 1998; Ioffe and Szegedy, ICML 2015.)
    """
    blocks = [
        [
            layers.Conv2D(count, 3, padding="same", use_bias=False, name=f"convolution_{number}"),
            layers.MaxPooling2D(2, padding="same", name=f"pooling_{number}"),
            layers.BatchNormalization(name=f"normalization_{number}"),
            layers.ReLU(name=f"relu_{number}"),
        ]
        for number, count in enumerate(filters, start=1)
    ]
    return keras.Sequential(
        [
            *_pixels(shape, scale),
            layers.Reshape((*shape, 1), name="channel"),
            *[layer for block in blocks for layer in block],
            layers.Flatten(name="flatten"),
            *_head(classes, hidden_units, dropout),
        ],
        name="cnn",
    )


def _pixels(shape: tuple[int, ...], scale: float) -> list[keras.Layer]:
    """From raw pixels to 0..1."""
    return [
        keras.Input(shape, dtype="uint8", name="pixels"),
        layers.Rescaling(scale, name="rescaling"),
    ]


def _head(classes: int, hidden_units: list[int], dropout: float) -> list[keras.Layer]:
    """Hidden layers, each followed by a dropout, and the logits."""
    hidden = [
        [
            layers.Dense(units, activation="relu", name=f"hidden_{number}"),
            *([layers.Dropout(dropout, name=f"dropout_{number}")] if dropout else []),
        ]
        for number, units in enumerate(hidden_units, start=1)
    ]
    return [*[layer for block in hidden for layer in block], layers.Dense(classes, name="logits")]


MODELS = {
    "mlp": Architecture(mlp, compiled=True),
    "cnn": Architecture(cnn, compiled=False),
}

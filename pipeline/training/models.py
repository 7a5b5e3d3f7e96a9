"""The architectures, a function each.

A function takes the shape of an image, the number of classes, the factor that scales a pixel to
0..1, and as keywords the settings of its section in params.yaml. Its network maps raw pixels, grey
(N, height, width) or colour (N, height, width, 3) uint8, to logits, (N, classes) float32.

To add one: its function and its row in MODELS here, its section in `pipeline.params.Model`, and the
values of that section in params.yaml.
"""

from collections.abc import Callable

import keras
from keras import layers

Shape = tuple[int, ...]  # of an image: (height, width) if it is grey, (height, width, 3) if not

GREY = 2  # dimensions of an image without colour


def mlp(
    shape: Shape, classes: int, scale: float, *, hidden_units: list[int], dropout: float
) -> keras.Model:
    """Fully connected layers."""
    return keras.Sequential(
        [
            *pixels(shape, scale),
            layers.Flatten(name="flatten"),
            *head(classes, hidden_units, dropout),
        ],
        name="mlp",
    )


def cnn(
    shape: Shape,
    classes: int,
    scale: float,
    *,
    filters: list[int],
    hidden_units: list[int],
    dropout: float,
) -> keras.Model:
    """3x3 convolutions, each with 2x2 max pooling and batch normalization, then dense layers.

    Pooling comes before normalization, which then has a quarter of the work.
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
            *pixels(shape, scale),
            *([layers.Reshape((*shape, 1), name="channel")] if len(shape) == GREY else []),
            *[layer for block in blocks for layer in block],
            layers.Flatten(name="flatten"),
            *head(classes, hidden_units, dropout),
        ],
        name="cnn",
    )


def pixels(shape: Shape, scale: float) -> list[keras.Layer]:
    """From raw pixels to 0..1."""
    return [
        keras.Input(shape, dtype="uint8", name="pixels"),
        layers.Rescaling(scale, name="rescaling"),
    ]


def head(classes: int, hidden_units: list[int], dropout: float) -> list[keras.Layer]:
    """Hidden layers, each followed by dropout, and the logits."""
    hidden = [
        [
            layers.Dense(units, activation="relu", name=f"hidden_{number}"),
            *([layers.Dropout(dropout, name=f"dropout_{number}")] if dropout else []),
        ]
        for number, units in enumerate(hidden_units, start=1)
    ]
    return [*[layer for block in hidden for layer in block], layers.Dense(classes, name="logits")]


MODELS: dict[str, Callable[..., keras.Model]] = {"mlp": mlp, "cnn": cnn}

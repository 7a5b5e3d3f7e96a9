"""The architectures, a function each.

A function takes the shape of an image, the number of classes, the factor that scales a pixel to
0..1, and as keywords the settings of its section in params.yaml. Its network maps raw pixels, grey
(N, height, width) or colour (N, height, width, 3) uint8, to logits, (N, classes) float32.

To add one: its function and its row in MODELS here, its section in `pipeline.params.Model`, and the
values of that section in params.yaml.
"""

from collections.abc import Callable
from typing import Literal

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
    convolutions: int = 1,
    pooling: Literal["flatten", "average"] = "flatten",
    hidden_units: list[int],
    dropout: float,
) -> keras.Model:
    """Blocks of 3x3 convolutions with batch normalization and 2x2 max pooling, then dense layers.

    Pooling comes before the last normalization of a block, which then has a quarter of the work.
    (LeCun et al., Proc. IEEE 86, 1998; Ioffe and Szegedy, ICML 2015; several convolutions before a
    pooling: Simonyan and Zisserman, ICLR 2015; average pooling: Lin, Chen and Yan, ICLR 2014.)
    """
    blocks = [
        [
            *[
                layer
                for part in range(1, convolutions)
                for layer in convolution(count, f"{number}_{part}", [])
            ],
            *convolution(
                count,
                str(number),
                [layers.MaxPooling2D(2, padding="same", name=f"pooling_{number}")],
            ),
        ]
        for number, count in enumerate(filters, start=1)
    ]
    ends = {"flatten": layers.Flatten, "average": layers.GlobalAveragePooling2D}
    return keras.Sequential(
        [
            *pixels(shape, scale),
            *([layers.Reshape((*shape, 1), name="channel")] if len(shape) == GREY else []),
            *[layer for block in blocks for layer in block],
            ends[pooling](name=pooling),
            *head(classes, hidden_units, dropout),
        ],
        name="cnn",
    )


def convolution(filters: int, name: str, pooling: list[keras.Layer]) -> list[keras.Layer]:
    """A 3x3 convolution, perhaps `pooling`, batch normalization and ReLU."""
    return [
        layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"convolution_{name}"),
        *pooling,
        layers.BatchNormalization(name=f"normalization_{name}"),
        layers.ReLU(name=f"relu_{name}"),
    ]


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

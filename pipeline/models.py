"""The architectures: one builder each, in one table.

A builder takes the shape of an image, the number of classes, the factor that takes a pixel to 0..1,
and its own keys of `model` in params.yaml. Its network takes raw pixels, (N, height, width) uint8,
and gives logits, (N, classes) float32.
"""

import keras


def mlp(
    shape: tuple[int, ...], classes: int, scale: float, hidden_units: list[int]
) -> keras.Sequential:
    """Fully connected layers."""
    return keras.Sequential(
        [
            keras.Input(shape, dtype="uint8", name="pixels"),
            keras.layers.Rescaling(scale, name="rescaling"),
            keras.layers.Flatten(name="flatten"),
            *[
                keras.layers.Dense(units, activation="relu", name=f"hidden_{number}")
                for number, units in enumerate(hidden_units, start=1)
            ],
            keras.layers.Dense(classes, name="logits"),
        ],
        name="mlp",
    )


MODELS = {"mlp": mlp}

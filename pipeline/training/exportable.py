"""A network as the converters to other formats want it."""

import keras
import numpy as np


def exportable(network: keras.Model, pixels: str, logits: str) -> keras.Model:
    """The same network, with its weights, for export.

    Args:
        network: raw pixels to logits.
        pixels: what to call its input.
        logits: what to call its output.
    """
    shape = network.input_shape[1:]
    images = keras.Input(shape, dtype=network.inputs[0].dtype, name=pixels)
    plain = keras.models.clone_model(network, clone_function=_with_plain_reshape)
    exported = keras.Model(images, {logits: plain(images)}, name="exported")
    exported(np.zeros((1, *shape), np.uint8))  # without a first call, Keras refuses to write ONNX
    return exported


def _with_plain_reshape(layer: keras.Layer) -> keras.Layer:
    """Keras's own reshape reads the batch's size, which tf2onnx simplifies in some runs only."""
    if type(layer) in {keras.layers.Flatten, keras.layers.Reshape}:
        return Reshape(layer.output.shape[1:], name=layer.name)
    return layer


class Reshape(keras.layers.Layer):
    """Reshapes each image of a batch, whose size is left open."""

    def __init__(self, target: tuple[int, ...], name: str) -> None:
        super().__init__(name=name)
        self.target = target

    def call(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """From (N, ...) to (N, *target)."""
        return keras.ops.reshape(inputs, (-1, *self.target))

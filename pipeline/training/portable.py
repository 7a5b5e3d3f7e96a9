"""A network as plain numbers: its layers in order, with the settings and weights of each.

It is what `pipeline/web/network.js` runs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.training import inference

Weights = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Layer:
    """One that does something at inference."""

    name: str
    kind: str  # the name of its class in Keras
    settings: dict[str, Any]  # JSON values
    weights: Weights = ()

    def rounded(self) -> "Layer":
        """The same with weights that fit in 16 bits; those out of range become infinite."""
        with np.errstate(over="ignore"):
            halves = (weight.astype(np.float16) for weight in self.weights)
            return replace(self, weights=tuple(half.astype(np.float32) for half in halves))


def layers_of(model: Path, shape: tuple[int, ...]) -> list[Layer]:
    """The layers of `model`, a `.keras` file that takes images of `shape`.

    Raises:
        InputError: it is no such model, or has a layer, or a setting of one, that is not supported.
    """
    network = inference.load(model, shape)
    if not isinstance(network, keras.Sequential):
        raise InputError(f"{model}: is a {type(network).__name__} model, expected a Sequential one")
    try:
        return [_described(layer) for layer in network.layers if type(layer) not in IDLE]
    except _UnsupportedError as error:
        known = ", ".join(kind.__name__ for kind in (*DESCRIBED, *IDLE))
        raise InputError(f"{model}: {error}; expected layers among {known}") from error


def logits(
    model: Path, layers: Sequence[Layer], images: NDArray[np.uint8], classes: int
) -> Iterator[NDArray[np.float64]]:
    """The logits of `model` with the weights of `layers`, part by part as in `inference.predict`.

    Raises:
        InputError: the model has been made for another number of classes.
        IntegrityError: its outputs are not finite.
    """
    network = inference.load(model, images.shape[1:])
    for layer in layers:
        own = network.get_layer(layer.name)
        own.set_weights(_of_keras(own, layer.weights))
    return inference.outputs(network, images, classes, str(model))


class _UnsupportedError(Exception):
    """What is not supported."""


def _described(layer: keras.layers.Layer) -> Layer:
    if type(layer) not in DESCRIBED:
        raise _UnsupportedError(f"the layer {layer.name} is a {type(layer).__name__}")
    kind = type(layer)
    settings = DESCRIBED[kind](layer)
    weights = tuple(np.asarray(weight, np.float32) for weight in layer.get_weights())
    if kind is keras.layers.BatchNormalization:
        weights = _normalization(layer, weights)
    return Layer(layer.name, kind.__name__, settings, weights)


def _normalization(layer: keras.layers.BatchNormalization, weights: Weights) -> Weights:
    """The factor and the offset, (channels,) each, that normalization comes to at inference."""
    gamma, beta, mean, variance = (weight.astype(np.float64) for weight in weights)
    factor = gamma / np.sqrt(variance + layer.epsilon)
    return factor.astype(np.float32), (beta - mean * factor).astype(np.float32)


def _of_keras(layer: keras.layers.Layer, weights: Weights) -> list[NDArray[np.float32]]:
    """The weights of Keras's own `layer` with which it computes the same."""
    if type(layer) is not keras.layers.BatchNormalization:
        return [*weights]
    factor, offset = weights
    return [factor, offset, np.zeros_like(factor), np.full_like(factor, 1 - layer.epsilon)]


def _expect(layer: keras.layers.Layer, **expected: object) -> None:
    """Refuses a layer with a setting that is not as expected."""
    for name, value in expected.items():
        found = getattr(layer, name)
        if found != value:
            raise _UnsupportedError(f"the layer {layer.name} has {name}={found}, expected {value}")


def _rescaling(layer: keras.layers.Rescaling) -> dict[str, Any]:
    for setting in (layer.scale, layer.offset):
        if not isinstance(setting, int | float):
            raise _UnsupportedError(f"the layer {layer.name} has a scale or an offset by channel")
    return {"scale": float(layer.scale), "offset": float(layer.offset)}


def _reshape(layer: keras.layers.Reshape) -> dict[str, Any]:
    return {"shape": [*layer.compute_output_shape(layer.input.shape)[1:]]}


def _plain(_layer: keras.layers.Layer) -> dict[str, Any]:
    return {}


def _relu(layer: keras.layers.ReLU) -> dict[str, Any]:
    _expect(layer, max_value=None, negative_slope=0, threshold=0)
    return {}


def _dense(layer: keras.layers.Dense) -> dict[str, Any]:
    if layer.input.ndim != 2:  # noqa: PLR2004, (batch, features)
        raise _UnsupportedError(f"the layer {layer.name} is applied to images, not to features")
    return {"units": layer.units, "relu": _is_relu(layer)}


def _convolution(layer: keras.layers.Conv2D) -> dict[str, Any]:
    _expect(
        layer, kernel_size=(3, 3), padding="same", strides=(1, 1), dilation_rate=(1, 1), groups=1
    )
    return {"units": layer.filters, "relu": _is_relu(layer)}


def _pooling(layer: keras.layers.MaxPooling2D) -> dict[str, Any]:
    _expect(layer, pool_size=(2, 2), strides=(2, 2), padding="same")
    return {}


def _average(layer: keras.layers.GlobalAveragePooling2D) -> dict[str, Any]:
    _expect(layer, keepdims=False)
    return {}


def _batch_normalization(layer: keras.layers.BatchNormalization) -> dict[str, Any]:
    _expect(layer, axis=-1, scale=True, center=True)
    return {}


def _is_relu(layer: keras.layers.Layer) -> bool:
    if layer.activation not in (keras.activations.linear, keras.activations.relu):
        name = layer.activation.__name__
        raise _UnsupportedError(f"the layer {layer.name} has {name}, expected relu or linear")
    return layer.activation is keras.activations.relu


DESCRIBED: dict[type[keras.layers.Layer], Callable[..., dict[str, Any]]] = {
    keras.layers.Rescaling: _rescaling,
    keras.layers.Reshape: _reshape,
    keras.layers.Flatten: _plain,
    keras.layers.Dense: _dense,
    keras.layers.Conv2D: _convolution,
    keras.layers.MaxPooling2D: _pooling,
    keras.layers.GlobalAveragePooling2D: _average,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.ReLU: _relu,
}
IDLE = (keras.layers.Dropout,)  # at inference

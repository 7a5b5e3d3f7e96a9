"""Networks as plain numbers: the same answers in JavaScript as in Keras, or a refusal."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pipeline import page
from pipeline.artifacts import keras_bytes
from pipeline.errors import InputError
from pipeline.training import inference
from pipeline.training.models import cnn, mlp
from pipeline.training.portable import layers_of
from pipeline.training.portable import logits as logits_with
from tests import node

SHAPE = (5, 7)  # odd, so that the squares of pooling lack a row and a column
IMAGES = np.random.default_rng(0).integers(0, 256, (20, *SHAPE)).astype(np.uint8)


def saved(network: keras.Model, folder: Path) -> Path:
    """A file of `network`, after a step that changes the statistics of its normalizations."""
    keras.utils.set_random_seed(0)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            values = np.random.default_rng(1).uniform(0.5, 2, (4, layer.gamma.shape[0]))
            layer.set_weights(list(values.astype(np.float32)))
    path = folder / "model.keras"
    path.write_bytes(keras_bytes(network, {}))
    return path


def of(*inner: keras.layers.Layer) -> keras.Model:
    """Pixels, a channel, `inner`, and three classes."""
    return keras.Sequential(
        [
            keras.Input(SHAPE, dtype="uint8"),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Reshape((*SHAPE, 1)),
            *inner,
            layers.Flatten(),
            layers.Dense(3, bias_initializer="glorot_normal"),
        ]
    )


NETWORKS = {
    "mlp": lambda: mlp(SHAPE, 3, 1 / 255, hidden_units=[16, 8], dropout=0.2),
    "cnn": lambda: cnn(SHAPE, 3, 1 / 255, filters=[4, 6, 8], hidden_units=[9], dropout=0.0),
    "double convolutions and average pooling": lambda: cnn(
        SHAPE,
        3,
        1 / 255,
        filters=[4, 6],
        convolutions=2,
        pooling="average",
        hidden_units=[9],
        dropout=0.0,
    ),
    "with biases": lambda: of(
        layers.Conv2D(4, 3, padding="same", activation="relu", bias_initializer="glorot_normal"),
        layers.MaxPooling2D(2, padding="same"),
        layers.Conv2D(5, 3, padding="same", bias_initializer="glorot_normal"),
    ),
    "without a bias": lambda: of(layers.Flatten(), layers.Dense(4, use_bias=False)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_javascript_computes_what_keras_computes(name: str, tmp_path: Path) -> None:
    path = saved(NETWORKS[name](), tmp_path)
    (expected,) = inference.predict(path, IMAGES, 3)
    assert np.ptp(expected, axis=0).min() > 0.01  # they depend on the pixels
    found = layers_of(path, SHAPE)
    description = page.description(found, SHAPE, "float32")
    np.testing.assert_allclose(node.logits(description, IMAGES, tmp_path), expected, atol=1e-5)

    rounded = [layer.rounded() for layer in found]
    (expected,) = logits_with(path, rounded, IMAGES, 3)
    description = page.description(found, SHAPE, "float16")
    np.testing.assert_allclose(node.logits(description, IMAGES, tmp_path), expected, atol=1e-5)


def test_half_precision(tmp_path: Path) -> None:
    values = np.arange(2**16, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)]
    (tmp_path / "halves").write_bytes(values.astype("<f2").tobytes())
    script = """
      const halves = fs.readFileSync(process.argv[2]).toString("base64");
      const numbers = decodeNumbers(halves, "float16");
      fs.writeFileSync(process.argv[3], Buffer.from(numbers.buffer));
    """
    node.run_node(script, tmp_path / "halves", tmp_path / "numbers")
    found = np.frombuffer((tmp_path / "numbers").read_bytes(), "<f4")
    np.testing.assert_array_equal(found, values.astype(np.float32))


REFUSED = {
    "another layer": (of(layers.Activation("tanh", name="odd")), "odd is a Activation"),
    "activation": (of(layers.Flatten(), layers.Dense(4, "tanh", name="odd")), "odd has tanh"),
    "a kernel": (of(layers.Conv2D(4, 5, padding="same", name="odd")), r"odd has kernel_size=\(5"),
    "padding": (of(layers.Conv2D(4, 3, name="odd")), "odd has padding=valid, expected same"),
    "strides": (of(layers.MaxPooling2D(2, 1, "same", name="odd")), r"odd has strides=\(1, 1\)"),
    "an axis": (of(layers.BatchNormalization(axis=1, name="odd")), "odd has axis=1, expected -1"),
    "a leaky one": (of(layers.ReLU(negative_slope=0.1, name="odd")), "odd has negative_slope=0.1"),
    "on an image": (of(layers.Dense(4, name="odd")), "odd is applied to images, not to features"),
    "an average in place": (
        of(layers.GlobalAveragePooling2D(keepdims=True, name="odd")),
        "odd has keepdims=True, expected False",
    ),
    "by channel": (of(layers.Rescaling([0.5], name="odd")), "odd has a scale or an offset by"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    network, message = REFUSED[case]
    path = saved(network, tmp_path)
    expected = f"^{re.escape(str(path))}: the layer {message}.*; expected layers among Rescaling,"
    with pytest.raises(InputError, match=expected):
        layers_of(path, SHAPE)


def test_layers_that_are_not_in_a_row(tmp_path: Path) -> None:
    pixels = keras.Input(SHAPE)
    network = keras.Model(pixels, layers.Dense(3)(layers.Flatten()(pixels)))
    with pytest.raises(InputError, match="is a Functional model, expected a Sequential one"):
        layers_of(saved(network, tmp_path), SHAPE)

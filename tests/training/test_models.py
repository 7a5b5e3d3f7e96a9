"""Every architecture: raw pixels in, logits out, whatever the size of the images."""

import math
from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.artifacts import keras_bytes
from pipeline.params import Model
from pipeline.training.layers import for_training
from pipeline.training.models import MODELS, cnn, mlp
from tests.support import suite_settings
from tests.training.support import stream

PIXELS = np.random.default_rng(0).integers(0, 17, (3, 8, 8)).astype(np.uint8)


def built(name: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    return MODELS[name]((8, 8), 7, 1 / 16, **suite_settings(name))


def test_every_architecture_has_a_function_and_a_section() -> None:
    assert set(MODELS) == set(Model.architectures())


@pytest.mark.parametrize("name", MODELS)
def test_from_pixels_to_logits(name: str) -> None:
    network = built(name)
    assert network.input_shape == (None, 8, 8)
    assert network.inputs[0].dtype == "uint8"
    logits = np.asarray(network(PIXELS))
    assert logits.shape == (3, 7)
    assert logits.dtype == np.float32
    assert np.ptp(logits, axis=0).min() > 0  # they depend on the pixels
    np.testing.assert_array_equal(built(name)(PIXELS), logits)  # and on the seed alone


@pytest.mark.parametrize("name", MODELS)
def test_the_training_copy_computes_the_same(name: str) -> None:
    network = built(name)
    copy = for_training(network, stream())
    assert all(mine is own for mine, own in zip(copy.weights, network.weights, strict=True))
    compiled = tf.function(copy, jit_compile=True)
    np.testing.assert_allclose(compiled(PIXELS), network(PIXELS), atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_one_comes_back(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    network = built(name)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    path.write_bytes(keras_bytes(network, {}))
    loaded = keras.models.load_model(path, compile=False)
    np.testing.assert_array_equal(loaded(PIXELS), network(PIXELS))


@pytest.mark.parametrize("shape", [(28, 28), (3, 5), (6, 5, 3)])
@pytest.mark.parametrize("hidden_units", [[], [4], [16, 16, 16]])
def test_mlp(shape: tuple[int, ...], hidden_units: list[int]) -> None:
    network = mlp(shape, 7, 1 / 16, hidden_units=hidden_units, dropout=0.1)
    sizes = [math.prod(shape), *hidden_units, 7]
    weights = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))
    assert network.count_params() == weights
    assert network(np.zeros((3, *shape), np.uint8)).shape == (3, 7)


@pytest.mark.parametrize("shape", [(28, 28), (3, 5), (6, 5, 3)])
@pytest.mark.parametrize("filters", [[4], [8, 16, 32]])
def test_cnn(shape: tuple[int, ...], filters: list[int]) -> None:
    network = cnn(shape, 7, 1 / 16, filters=filters, hidden_units=[], dropout=0.0)
    assert ("channel" in [layer.name for layer in network.layers]) == (len(shape) == 2)
    height, width, *colours = shape
    weights = 0
    for channels, count in pairwise([*(colours or [1]), *filters]):
        weights += 9 * channels * count + 4 * count  # the normalization: mean, variance, two more
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    assert network.count_params() == weights + (height * width * filters[-1] + 1) * 7
    assert network(np.zeros((3, *shape), np.uint8)).shape == (3, 7)


def test_blocks_of_several_convolutions_and_an_average() -> None:
    network = cnn(
        (5, 6),
        7,
        1 / 16,
        filters=[4, 8],
        convolutions=3,
        pooling="average",
        hidden_units=[],
        dropout=0.0,
    )
    names = [layer.name for layer in network.layers]
    assert names[2:13] == [
        *("convolution_1_1", "normalization_1_1", "relu_1_1"),
        *("convolution_1_2", "normalization_1_2", "relu_1_2"),
        *("convolution_1", "pooling_1", "normalization_1", "relu_1"),
        "convolution_2_1",
    ]
    assert names[-2:] == ["average", "logits"]
    kernels = 9 * (1 * 4 + 2 * 4 * 4 + 4 * 8 + 2 * 8 * 8)
    assert network.count_params() == kernels + 4 * 3 * (4 + 8) + (8 + 1) * 7
    assert network(np.zeros((3, 5, 6), np.uint8)).shape == (3, 7)

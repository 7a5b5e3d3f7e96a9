"""The stand-ins for layers of images do what Keras's own do, gradients included."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.layers import BatchNormalization, Conv2D, MaxPooling2D, ReLU

from pipeline.training import images
from pipeline.training.images import Shard, largest
from pipeline.training.layers import for_training
from tests.training.support import stream

Compiled = Callable[[tf.Tensor], list[tf.Tensor]]


def numbers(*shape: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def compiled(network: keras.Model) -> Compiled:
    """Of a batch in training: the outputs, and the gradients by the batch and the weights."""

    def function(batch: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            outputs = network(batch, training=True)
            total = tf.reduce_sum(outputs * numbers(*outputs.shape, seed=1))
        return [outputs, *tape.gradient(total, [batch, *network.trainable_variables])]

    result: Compiled = tf.function(function, jit_compile=True)
    return result


def check_agree(layers: list[keras.layers.Layer], batch: tf.Tensor) -> keras.Model:
    """Trains a step with Keras's layers and with the stand-ins, and returns the latter."""
    network = keras.Sequential([keras.Input(batch.shape[1:]), *layers])
    copy = for_training(network, stream())
    assert all(type(layer).__module__ == images.__name__ for layer in copy.layers)
    before = [variable.numpy() for variable in network.variables]
    expected = compiled(network)(batch)
    moved = [variable.numpy() for variable in network.non_trainable_variables]
    for variable, value in zip(network.variables, before, strict=True):
        variable.assign(value)
    for mine, theirs in zip(compiled(copy)(batch), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    for variable, value in zip(network.non_trainable_variables, moved, strict=True):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-4, atol=1e-5)
    return copy


@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    channels=st.integers(1, 3),
    filters=st.sampled_from([1, 3, 24, 32]),
    padding=st.sampled_from(["same", "valid"]),
    use_bias=st.booleans(),
)
def test_convolution(
    rows: int, columns: int, channels: int, filters: int, padding: str, use_bias: bool
) -> None:
    layer = Conv2D(
        filters,
        (rows, columns),
        padding=padding,
        use_bias=use_bias,
        bias_initializer="normal",
        activation="tanh",
    )
    check_agree([layer], numbers(2, 6, 7, channels))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("sides", [(4, 6), (5, 4), (7, 7)])
def test_max_pooling(padding: str, sides: tuple[int, int]) -> None:
    check_agree([MaxPooling2D(2, padding=padding)], numbers(2, *sides, 3))


def test_the_largest_of_four_share_the_gradient() -> None:
    square = tf.reshape(tf.constant([3.0, 1.0, 3.0, 2.0]), (1, 1, 2, 1, 2, 1))
    with tf.GradientTape() as tape:
        tape.watch(square)
        outputs = largest(square)
    assert outputs.numpy().item() == 3
    np.testing.assert_array_equal(
        tape.gradient(outputs, square).numpy().reshape(-1), [0.5, 0, 0.5, 0]
    )


def test_relu() -> None:
    check_agree([ReLU()], numbers(2, 3, 4, 5))


@pytest.mark.parametrize("options", [{}, {"center": False}, {"scale": False}])
@pytest.mark.parametrize("shape", [(6, 3, 4, 2), (6, 5), (6, 3, 5)])
def test_batch_normalization(shape: tuple[int, ...], options: dict[str, bool]) -> None:
    layer = BatchNormalization(
        gamma_initializer="normal", beta_initializer="normal", momentum=0.7, **options
    )
    copy = check_agree([layer], 3 + 2 * numbers(*shape))
    batch = numbers(*shape, seed=2)
    unseen = tf.function(copy, jit_compile=True)(batch)
    np.testing.assert_allclose(unseen, layer(batch), rtol=1e-4, atol=1e-5)


def test_padding_in_a_shard_does_not_count() -> None:
    network = keras.Sequential([keras.Input((3, 4, 2)), BatchNormalization()])
    batch = numbers(6, 3, 4, 2)
    shard = Shard()
    copy = for_training(network, stream(), shard)

    def outputs(batch: tf.Tensor, there: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        shard.begin(there)
        return copy(batch, training=True), shard.moments

    padded = tf.concat([batch, 100 + batch[:2]], 0)
    there = tf.constant([1.0] * 6 + [0.0] * 2)
    found, (mean, variance) = tf.function(outputs, jit_compile=True)(padded, there)
    np.testing.assert_allclose(mean / 6, np.mean(batch, (0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(variance / 6, np.var(batch, (0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(found[:6], network(batch, training=True), rtol=1e-4, atol=1e-5)


def test_what_has_no_stand_in_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    layers = [Conv2D(2, 3, strides=2, name="strided"), Conv2D(2, 1, name="plain")]
    copy = for_training(keras.Sequential([keras.Input((8, 8, 1)), *layers]), stream())
    assert type(copy.layers[0]) is Conv2D
    assert capsys.readouterr().out == "strided: a Conv2D of these settings trains slowly\n"


def test_a_functional_network_with_a_shortcut() -> None:
    pixels = keras.Input((4, 4, 2))
    block = ReLU()(BatchNormalization()(Conv2D(2, 3, padding="same")(pixels)))
    network = keras.Model(pixels, MaxPooling2D(2)(keras.layers.Add()([pixels, block])))
    copy = for_training(network, stream())
    batch = numbers(3, 4, 4, 2)
    expected = compiled(network)(batch)
    for mine, theirs in zip(compiled(copy)(batch), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_network_in_a_network_is_replaced_as_well() -> None:
    inner = keras.Sequential([keras.Input((8, 8, 1)), Conv2D(2, 3)])
    copy = for_training(keras.Sequential([keras.Input((8, 8, 1)), inner, ReLU()]), stream())
    assert isinstance(copy.layers[0].layers[0], images.Convolution)

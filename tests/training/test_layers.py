import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.layers import Dense, Dropout, for_training
from tests.training.support import stream

STREAM = stream()


def test_a_share_drops_out_and_the_rest_makes_up_for_it() -> None:
    layer = Dropout(0.25, STREAM, 0)
    ones = tf.ones((200, 200))
    dropped = layer(ones, training=True).numpy()
    assert set(np.unique(dropped)) == {0, np.float32(4 / 3)}
    assert np.mean(dropped == 0) == pytest.approx(0.25, abs=0.01)  # 4.6 standard deviations
    np.testing.assert_array_equal(layer(ones, training=False), ones)


def test_what_trains_shares_the_weights_of_what_is_saved() -> None:
    layers = [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.5)]
    network = keras.Sequential([*layers, keras.layers.Dense(2), keras.layers.Dropout(0.1)])
    training = for_training(network, STREAM)
    assert [layer.place for layer in training.layers if isinstance(layer, Dropout)] == [0, 1]
    assert [isinstance(layer, Dense) for layer in training.layers] == [True, False] * 2
    assert [type(layer) for layer in network.layers].count(keras.layers.Dropout) == 2
    for mine, theirs in zip(training.weights, network.weights, strict=True):
        assert mine is theirs


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3)])
def test_a_dense_layer_does_what_keras_does(shape: tuple[int, ...], use_bias: bool) -> None:
    theirs = keras.layers.Dense(4, activation="relu", use_bias=use_bias)
    theirs.build(shape)
    ours = Dense(theirs)
    inputs = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)

    def outputs_and_gradients(layer: keras.layers.Layer) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            total = tf.reduce_sum(outputs**2)
        return [outputs, *tape.gradient(total, [inputs, *theirs.trainable_variables])]

    compiled = tf.function(outputs_and_gradients, jit_compile=True)
    for mine, expected in zip(compiled(ours), compiled(theirs), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-6)

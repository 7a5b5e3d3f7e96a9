"""Layers that stand in for Keras's while a network trains: the same mathematics, but faster.

They are for the training alone. What is saved is the network itself, with Keras's own layers.
"""

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.python.xla import optimization_barrier

from pipeline.noise import PLACES, Noise


def for_training(network: keras.Model, noise: Noise, *, compiled: bool) -> keras.Model:
    """`network` with the same weights, and layers from here for Keras's.

    Args:
        network: is left as it is.
        noise: draws what is dropped.
        compiled: it will run in a program of XLA's, which alone can take `Dense`.
    """
    places = iter(range(PLACES))

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if type(layer) is keras.layers.Dropout:
            return Dropout(layer.rate, noise, next(places))
        if type(layer) is keras.layers.Dense and compiled:
            return Dense(layer)
        return layer

    return keras.models.clone_model(network, clone_function=replace)


class Dropout(keras.layers.Layer):
    """What `keras.layers.Dropout` does, with numbers of `Noise`.

    Inside a compiled epoch Keras's own takes nine times as long as all the rest.
    """

    def __init__(self, rate: float, noise: Noise, place: int) -> None:
        super().__init__()
        self.rate = rate
        self.noise = noise
        self.place = place

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Zeroes a share `rate` of `inputs` in training, and scales up the rest to make up for it.

        (Srivastava et al., JMLR 15, 2014.)
        """
        if not training:
            return inputs
        kept = self.noise.bernoulli(self.place, 1 - self.rate, tf.shape(inputs))
        return tf.where(kept, inputs / (1 - self.rate), 0.0)


class Dense(keras.layers.Layer):
    """A `keras.layers.Dense` whose gradient is a product that XLA has its fastest kernel for."""

    def __init__(self, dense: keras.layers.Dense) -> None:
        super().__init__()
        self.dense = dense

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """What the layer makes of `inputs`, (batch, features); of other ranks in its own way."""
        if len(inputs.shape) != 2:  # noqa: PLR2004
            return self.dense(inputs)
        outputs = product(inputs, tf.convert_to_tensor(self.dense.kernel))
        if self.dense.use_bias:
            outputs = tf.nn.bias_add(outputs, self.dense.bias)
        return self.dense.activation(outputs)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def product(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
    """`inputs`, (batch, features), times `kernel`, (features, units).

    The gradient of the kernel is `inputs` transposed, times that of the result. XLA would make the
    transposition a part of the product, for which its own kernel, YNNPACK's, has no provision; the
    one that it takes instead, oneDNN's, is slower, and adds up in another order where it has
    AVX-512. (ynn_support.cc in XLA: "we don't currently support generating the necessary
    transposes".) The barrier keeps the two apart.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        (transposed,) = optimization_barrier(tf.transpose(inputs))
        return tf.matmul(upstream, kernel, transpose_b=True), tf.matmul(transposed, upstream)

    return tf.matmul(inputs, kernel), gradient

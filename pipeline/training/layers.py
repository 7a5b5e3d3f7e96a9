"""Stand-ins for Keras layers during training: the same mathematics, but faster.

They are for training only. The network that is saved keeps Keras's own layers.
"""

import math

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.python.xla import optimization_barrier

from pipeline.training.randomness import PLACES, RandomStream


def for_training(
    network: keras.Model, stream: RandomStream, *, compiled: bool, shard: "Shard | None" = None
) -> keras.Model:
    """A copy of `network` that shares its weights, with faster layers.

    Args:
        network: is left as it is.
        stream: of the random numbers that dropout draws.
        compiled: whether it will run in an XLA program, which `Dense` needs.
        shard: the one that will go through it, if a batch is divided.
    """
    places = iter(range(PLACES))

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if type(layer) is keras.layers.Dropout:
            return Dropout(layer.rate, stream, next(places))
        if type(layer) is keras.layers.Dense and compiled:
            return Dense(layer)
        if type(layer) is keras.layers.BatchNormalization and shard:
            return BatchNormalization(layer, shard)
        return layer

    return keras.models.clone_model(network, clone_function=replace)


class Dropout(keras.layers.Layer):
    """`keras.layers.Dropout`, with numbers from a `RandomStream`.

    Inside a compiled epoch Keras's own takes nine times as long as everything else.
    """

    def __init__(self, rate: float, stream: RandomStream, place: int) -> None:
        super().__init__()
        self.rate = rate
        self.stream = stream
        self.place = place

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Zeroes a share `rate` of `inputs` in training, and scales up the rest to compensate.

        (Srivastava et al., JMLR 15, 2014.)
        """
        if not training:
            return inputs
        kept = self.stream.bernoulli(self.place, 1 - self.rate, tf.shape(inputs))
        return tf.where(kept, inputs / (1 - self.rate), 0.0)


class Dense(keras.layers.Layer):
    """A `keras.layers.Dense` whose gradient is a product for which XLA has its fastest kernel."""

    def __init__(self, dense: keras.layers.Dense) -> None:
        super().__init__()
        self.dense = dense

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The layer's outputs for `inputs`, (batch, features); of other ranks by the layer."""
        if len(inputs.shape) != 2:  # noqa: PLR2004
            return self.dense(inputs)
        outputs = product(inputs, tf.convert_to_tensor(self.dense.kernel))
        if self.dense.use_bias:
            outputs = tf.nn.bias_add(outputs, self.dense.bias)
        return self.dense.activation(outputs)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def product(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, object]:
    """`inputs`, (batch, features), times `kernel`, (features, units).

    The kernel's gradient is the transposed `inputs` times the gradient of the result. XLA would
    fold the transposition into the product, which its own kernel, YNNPACK's, does not support. The
    kernel it falls back to, oneDNN's, is slower, and adds up in another order where it has AVX-512.
    (ynn_support.cc in XLA: "we don't currently support generating the necessary transposes".) The
    barrier keeps the two operations apart.
    """

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        (transposed,) = optimization_barrier(tf.transpose(inputs))
        return tf.matmul(upstream, kernel, transpose_b=True), tf.matmul(transposed, upstream)

    return tf.matmul(inputs, kernel), gradient


class Shard:
    """The part of a batch that goes through a network, and the moments that layers find in it."""

    def __init__(self) -> None:
        self.layers: list[BatchNormalization] = []  # in the order in which they are called
        self.moments: list[tf.Tensor] = []  # of each two, (channels,), times the number of images

    def begin(self, there: tf.Tensor) -> None:
        """A new shard, with images where `there`, (size,), is 1.0, and nothing where it is 0.0."""
        self.there = there
        self.layers.clear()
        self.moments.clear()

    def update_moving(self, means: list[tf.Tensor]) -> None:
        """Updates the moving statistics by the `means` of `moments` over all images of a batch."""
        for layer, mean, variance in zip(self.layers, means[::2], means[1::2], strict=True):
            layer.update_moving(mean, variance)


class BatchNormalization(keras.layers.Layer):
    """A `keras.layers.BatchNormalization` of the images of a shard, without those that are padding.

    It leaves its moving statistics as they are: all shards of a batch change them together.
    """

    def __init__(self, layer: keras.layers.BatchNormalization, shard: Shard) -> None:
        super().__init__()
        self.layer = layer
        self.shard = shard

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`inputs`, (size, ..., channels), normalized."""
        if not training:
            return self.layer(inputs, training=False)
        axes = list(range(len(inputs.shape) - 1))
        there = tf.reshape(self.shard.there, (-1, *[1] * len(axes)))
        images = tf.reduce_sum(self.shard.there)
        values = tf.maximum(images, 1) * math.prod(inputs.shape[1:-1])  # of a channel
        mean = tf.reduce_sum(inputs * there, axes) / values
        variance = tf.reduce_sum(tf.square(inputs - mean) * there, axes) / values
        self.shard.layers.append(self)
        self.shard.moments.extend((mean * images, variance * images))
        return keras.ops.batch_normalization(
            inputs, mean, variance, -1, self.layer.beta, self.layer.gamma, self.layer.epsilon
        )

    def update_moving(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Moves the moving statistics towards those of a batch, (channels,) each."""
        for moving, new in (
            (self.layer.moving_mean, mean),
            (self.layer.moving_variance, variance),
        ):
            moving.assign(moving * self.layer.momentum + new * (1 - self.layer.momentum))

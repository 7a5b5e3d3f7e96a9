"""Stand-ins for Keras layers during training: the same mathematics, but faster.

They are for training only. The network that is saved keeps Keras's own layers.
"""

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.python.xla import optimization_barrier

from pipeline.training.images import BatchNormalization, Convolution, MaxPooling, ReLU, Shard
from pipeline.training.randomness import PLACES, RandomStream

SLOW = (  # in XLA on a CPU
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.SeparableConv2D,
)


def for_training(
    network: keras.Model, stream: RandomStream, shard: Shard | None = None
) -> keras.Model:
    """A copy of `network` that shares its weights, with faster layers.

    Args:
        network: is left as it is.
        stream: of the random numbers that dropout draws.
        shard: the one that will go through it, if a batch is divided.
    """
    places = iter(range(PLACES))

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        if type(layer) is keras.layers.Dropout:
            return Dropout(layer.rate, stream, next(places))
        if type(layer) is keras.layers.Dense:
            return Dense(layer)
        if BatchNormalization.stands_for(layer):
            return BatchNormalization(layer, shard)
        for stand_in in (Convolution, MaxPooling, ReLU):
            if stand_in.stands_for(layer):
                return stand_in(layer)
        if isinstance(layer, SLOW):
            print(f"{layer.name}: a {type(layer).__name__} of these settings trains slowly")
        return layer

    return keras.models.clone_model(network, clone_function=replace, recursive=True)


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

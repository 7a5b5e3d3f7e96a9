"""Stand-ins for Keras layers of images during training: the same mathematics, but faster in XLA.

XLA's own convolutions and poolings are slow on a CPU. Here they are products, slices and sums, of
images whose batch comes last, as (channels, height, width, batch): every inner loop runs along the
batch, and the products are long however few the channels are.
"""

import math

import keras
import tensorflow as tf
from tensorflow.compiler.tf2xla.python.xla import optimization_barrier

IMAGES = 4  # dimensions of a batch of images
COLUMNS = 32  # a product of a multiple of so many takes up to half the time of one less


class BatchLast(keras.layers.Layer):
    """A layer of images which computes on (channels, height, width, batch).

    What comes in and goes out is (batch, height, width, channels), as in Keras. XLA drops the
    transpositions between two such layers.
    """

    def __init__(self, layer: keras.layers.Layer) -> None:
        """In the place of `layer`, whose weights it shares."""
        super().__init__()
        self.layer = layer

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """The layer's outputs for `inputs`, (batch, height, width, channels)."""
        return _turned(self.compute(_turned(inputs), training=training))

    def compute(self, inputs: tf.Tensor, *, training: bool) -> tf.Tensor:
        """The outputs for `inputs`, both (channels, height, width, batch)."""
        raise NotImplementedError


def _turned(images: tf.Tensor) -> tf.Tensor:
    """From one layout to the other; it is the same permutation both ways."""
    return tf.transpose(images, (3, 1, 2, 0))


class Convolution(BatchLast):
    """A `keras.layers.Conv2D`, as the product of its kernel and the patches of the images."""

    @staticmethod
    def stands_for(layer: keras.layers.Layer) -> bool:
        """Whether it can take the place of `layer`."""
        return (
            type(layer) is keras.layers.Conv2D
            and {*layer.strides, *layer.dilation_rate, layer.groups} == {1}
            and layer.padding in ("same", "valid")
        )

    def compute(self, inputs: tf.Tensor, *, training: bool) -> tf.Tensor:  # noqa: ARG002
        """The outputs for `inputs`, both (channels, height, width, batch)."""
        kernel = tf.convert_to_tensor(self.layer.kernel)  # (rows, columns, channels, filters)
        rows, columns, _, filters = kernel.shape
        if self.layer.padding == "same":
            margins = [((size - 1) // 2, size // 2) for size in (rows, columns)]
            inputs = tf.pad(inputs, [(0, 0), *margins, (0, 0)])
        _, height, width, _ = inputs.shape
        height, width = height - rows + 1, width - columns + 1
        shifted = [
            inputs[:, row : row + height, column : column + width]
            for row in range(rows)
            for column in range(columns)
        ]
        matrix = tf.reshape(kernel, (-1, filters))
        patches = tf.reshape(tf.stack(shifted), (matrix.shape[0], -1))
        outputs = tf.reshape(product(matrix, patches), (filters, height, width, -1))
        if self.layer.use_bias:
            outputs += _of_channels(self.layer.bias)
        return self.layer.activation(outputs)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def product(kernel: tf.Tensor, patches: tf.Tensor) -> tuple[tf.Tensor, object]:
    """`kernel`, (features, filters), transposed, times `patches`, (features, N): (filters, N).

    Barriers keep the transposition apart from the product, for which XLA has its fastest kernel
    then; see `layers.product`.
    """
    features, filters = kernel.shape
    (whole,) = optimization_barrier(kernel)
    (transposed,) = optimization_barrier(tf.transpose(whole))

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        more = -filters % COLUMNS
        if more < filters // 2:  # columns of zeros, which cost less than they save
            upstream = tf.pad(upstream, [(0, more), (0, 0)])
        padded = tf.pad(kernel, [(0, 0), (0, upstream.shape[0] - filters)])
        by_kernel = tf.matmul(patches, upstream, transpose_b=True)
        return by_kernel[:features, :filters], tf.matmul(padded, upstream)

    return tf.matmul(transposed, patches), gradient


class MaxPooling(BatchLast):
    """A `keras.layers.MaxPooling2D` of 2x2.

    Where several of the four are the largest, each has its share of the gradient, as in
    `tf.reduce_max`.
    """

    @staticmethod
    def stands_for(layer: keras.layers.Layer) -> bool:
        """Whether it can take the place of `layer`."""
        return type(layer) is keras.layers.MaxPooling2D and (
            {*layer.pool_size, *layer.strides} == {2}
        )

    def compute(self, inputs: tf.Tensor, *, training: bool) -> tf.Tensor:  # noqa: ARG002
        """The outputs for `inputs`, both (channels, height, width, batch)."""
        channels, height, width, _ = inputs.shape
        if self.layer.padding == "same":
            odd = [(0, 0), (0, height % 2), (0, width % 2), (0, 0)]
            inputs = tf.pad(inputs, odd, constant_values=inputs.dtype.min)
        else:
            inputs = inputs[:, : height - height % 2, : width - width % 2]
        _, height, width, _ = inputs.shape
        return largest(tf.reshape(inputs, (channels, height // 2, 2, width // 2, 2, -1)))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def largest(squares: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Of `squares`, (channels, height, 2, width, 2, batch), (channels, height, width, batch)."""
    corners = [squares[:, :, row, :, column] for row in (0, 1) for column in (0, 1)]
    outputs = tf.maximum(tf.maximum(*corners[:2]), tf.maximum(*corners[2:]))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        number = tf.add_n([tf.cast(corner == outputs, tf.float32) for corner in corners])
        share = upstream / number
        of_square = (slice(None), slice(None), tf.newaxis, slice(None), tf.newaxis)
        return tf.where(squares == outputs[of_square], share[of_square], 0.0)

    return outputs, gradient


class ReLU(BatchLast):
    """A `keras.layers.ReLU`."""

    @staticmethod
    def stands_for(layer: keras.layers.Layer) -> bool:
        """Whether it can take the place of `layer`."""
        return (
            type(layer) is keras.layers.ReLU
            and len(layer.output.shape) == IMAGES
            and layer.max_value is None
            and not layer.negative_slope
            and not layer.threshold
        )

    def compute(self, inputs: tf.Tensor, *, training: bool) -> tf.Tensor:  # noqa: ARG002
        """The outputs for `inputs`, both (channels, height, width, batch)."""
        return tf.nn.relu(inputs)


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


class BatchNormalization(BatchLast):
    """A `keras.layers.BatchNormalization` of a batch, or of a shard without what is padding.

    All shards of a batch change the moving statistics together, so it leaves them to `Shard`.
    """

    def __init__(self, layer: keras.layers.BatchNormalization, shard: Shard | None = None) -> None:
        super().__init__(layer)
        self.shard = shard

    @staticmethod
    def stands_for(layer: keras.layers.Layer) -> bool:
        """Whether it can take the place of `layer`."""
        return type(layer) is keras.layers.BatchNormalization and layer.axis in (
            -1,
            len(layer.output.shape) - 1,
        )

    def call(self, inputs: tf.Tensor, training: bool = False, mask: None = None) -> tf.Tensor:  # noqa: ARG002
        """The layer's outputs for `inputs`, (batch, ..., channels), normalized by channel.

        Keras passes a `mask` in functional models, for sequences; images have none.
        """
        if len(inputs.shape) == IMAGES:
            return super().call(inputs, training=training)
        _, *places, channels = inputs.shape
        images = tf.reshape(inputs, (-1, 1, math.prod(places), channels))
        return tf.reshape(super().call(images, training=training), tf.shape(inputs))

    def compute(self, inputs: tf.Tensor, *, training: bool) -> tf.Tensor:
        """The outputs for `inputs`, both (channels, height, width, batch)."""
        layer = self.layer
        channels, height, width, _ = inputs.shape
        gamma = tf.convert_to_tensor(layer.gamma) if layer.scale else tf.ones(channels)
        beta = tf.convert_to_tensor(layer.beta) if layer.center else tf.zeros(channels)
        if not training:
            deviation = tf.sqrt(_of_channels(layer.moving_variance) + layer.epsilon)
            standard = (inputs - _of_channels(layer.moving_mean)) / deviation
            return standard * _of_channels(gamma) + _of_channels(beta)
        there = self.shard.there if self.shard else tf.ones(tf.shape(inputs)[-1:])
        images = tf.reduce_sum(there)
        values = tf.maximum(images, 1) * height * width
        outputs, mean, variance = normalized(inputs, gamma, beta, there, values, layer.epsilon)
        if self.shard:
            self.shard.layers.append(self)
            self.shard.moments.extend((mean * images, variance * images))
        else:
            self.update_moving(mean, variance)
        return outputs

    def update_moving(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Moves the moving statistics towards those of a batch, (channels,) each."""
        for moving, new in (
            (self.layer.moving_mean, mean),
            (self.layer.moving_variance, variance),
        ):
            moving.assign(moving * self.layer.momentum + new * (1 - self.layer.momentum))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def normalized(  # noqa: PLR0917, custom_gradient takes no keywords
    inputs: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    there: tf.Tensor,
    values: tf.Tensor,
    epsilon: tf.Tensor,
) -> tuple[tuple[tf.Tensor, ...], object]:
    """`inputs` with `gamma` as the deviation and `beta` as the mean of each channel.

    (Ioffe and Szegedy, ICML 2015, with the gradient of their section 3.)

    Args:
        inputs: (channels, height, width, batch).
        gamma: (channels,).
        beta: (channels,).
        there: (batch,) 1.0 where there is an image, 0.0 where there is none.
        values: () how many values of a channel there are.
        epsilon: () what is added to the variance.

    Returns:
        What `inputs` become; their mean and variance, (channels,) each, which pass no gradient on.
    """
    weights = there / values
    mean = _mean(inputs, weights)
    variance = _mean(tf.square(inputs - mean), weights)
    deviation = tf.sqrt(variance + epsilon)
    standard = (inputs - mean) / deviation

    def gradient(upstream: tf.Tensor, *_moments: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        by_beta, by_gamma = _mean(upstream, weights), _mean(upstream * standard, weights)
        # XLA computes a division once, but a product again in all that comes of it.
        by_inputs = (
            (upstream - (by_beta + standard * by_gamma) * there) * (_of_channels(gamma)) / deviation
        )
        of_all = (tf.reshape(mean * values, [-1]) for mean in (by_gamma, by_beta))
        return by_inputs, *of_all, None, None, None

    outputs = standard * _of_channels(gamma) + _of_channels(beta)
    return (outputs, tf.reshape(mean, [-1]), tf.reshape(variance, [-1])), gradient


def _mean(images: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """The mean of each channel, (channels, 1, 1, 1).

    In two steps, of which the first, along the batch, can use the processor's vectors. What is
    summed up is a product, which XLA leaves to no library that may add up in another order.
    """
    (of_columns,) = optimization_barrier(tf.reduce_sum(images * weights, (1, 2)))
    return _of_channels(tf.reduce_sum(of_columns, -1))


def _of_channels(values: tf.Tensor) -> tf.Tensor:
    """`values`, (channels,), for use with (channels, height, width, batch)."""
    return tf.reshape(values, (-1, 1, 1, 1))

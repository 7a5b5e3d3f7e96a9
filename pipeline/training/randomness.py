"""Random numbers for training, each determined by the seed, the step and its place in the program.

A training that was interrupted therefore continues with the same numbers. Keras's own layers count
their calls instead.
"""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

PLACES = 1000  # in a program that draw numbers: dropout layers from 0 up, augmentation at the end


class RandomStream:
    """Random numbers for the step that an optimizer has reached, others for each of its shards."""

    def __init__(self, seed: int, optimizer: keras.optimizers.Optimizer, shards: int = 1) -> None:
        self.seed = tf.Variable(seed, dtype=tf.int64)  # no constant: all seeds share a program
        self.optimizer = optimizer
        self.shards = shards
        self.shard: int | tf.Tensor = 0  # of the step, from 0 up

    def uniform(self, place: int, shape: tf.Tensor) -> tf.Tensor:
        """Numbers from 0 up to 1, float32 of `shape`, by Philox (Salmon et al., SC 2011).

        A program compiled by XLA draws different ones than TensorFlow's own kernels.
        """
        return tf.random.stateless_uniform(shape, self._key(place), alg="philox")

    def bernoulli(self, place: int, probability: float, shape: tf.Tensor) -> tf.Tensor:
        """True with `probability`, to the nearest 1/65536; bool of `shape`.

        Each uses 16 random bits, which takes half as long as a number from `uniform`.
        """
        count = tf.reduce_prod(shape)
        words = tf.random.stateless_uniform(
            [(count + 1) // 2], self._key(place), None, None, tf.uint32, alg="philox"
        )
        halves = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:count]
        return tf.reshape(tf.cast(halves, tf.int32) < round(probability * 2**16), shape)

    def _key(self, place: int) -> tf.Tensor:
        step = tf.cast(self.optimizer.iterations, tf.int64)
        shard = step * self.shards + tf.cast(self.shard, tf.int64)
        counter = shard * PLACES + place
        return tf.stack([self.seed, counter])


def epoch_order(count: int, epoch: int, seed: int) -> NDArray[np.int32]:
    """The order in which `epoch` visits `count` images, (count,) int32."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(count).astype(np.int32)

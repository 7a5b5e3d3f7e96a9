"""What differs from step to step of a training on purpose: random numbers, moved images.

Every number follows from the seed, the step and its place in the program, so that a training that
was interrupted goes on with the same ones. Keras's own layers count their calls instead.
"""

import math
from dataclasses import dataclass

import keras
import tensorflow as tf

PLACES = 1000  # in a program that draw numbers; the dropout layers come first
FLIP, SHIFT_Y, SHIFT_X, ANGLE, ZOOM = range(PLACES - 5, PLACES)


class Noise:
    """Random numbers for the step that an optimizer has come to."""

    def __init__(self, seed: int, optimizer: keras.optimizers.Optimizer) -> None:
        self.seed = seed
        self.optimizer = optimizer

    def uniform(self, place: int, shape: tf.Tensor) -> tf.Tensor:
        """Numbers from 0 up to 1, float32 of `shape`, by Philox (Salmon et al., SC 2011).

        A program compiled by XLA draws other ones than TensorFlow's own kernels do.
        """
        return tf.random.stateless_uniform(shape, self._key(place), alg="philox")

    def bernoulli(self, place: int, probability: float, shape: tf.Tensor) -> tf.Tensor:
        """True with `probability`, to the nearest 1/65536; bool of `shape`.

        From 16 random bits each, which takes half as long as a number of `uniform` does.
        """
        count = tf.reduce_prod(shape)
        words = tf.random.stateless_uniform(
            [(count + 1) // 2], self._key(place), None, None, tf.uint32, alg="philox"
        )
        halves = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:count]
        return tf.reshape(tf.cast(halves, tf.int32) < round(probability * 2**16), shape)

    def _key(self, place: int) -> tf.Tensor:
        counter = tf.cast(self.optimizer.iterations, tf.int64) * PLACES + place
        return tf.stack([tf.constant(self.seed, tf.int64), counter])


@dataclass(frozen=True)
class Augment:
    """Moves every image of a training step at random; what comes in from outside is 0."""

    shift: int = 0  # up to so many whole pixels up, down, left and right
    rotation: float = 0.0  # up to so many degrees about the centre, either way
    zoom: float = 0.0  # up to this share larger or smaller
    flip: bool = False  # left for right, every other one

    def frame(self, images: tf.Tensor) -> tf.Tensor:
        """`images`, (N, height, width) uint8, with room to shift, as `take` wants them."""
        room = (self.shift, self.shift)
        return tf.pad(images, [(0, 0), room, room])

    def take(self, framed: tf.Tensor, indices: tf.Tensor, noise: Noise) -> tf.Tensor:
        """The images at `indices`, (batch,) int32, moved: (batch, height, width) uint8.

        Shifted images are gathered from where they would be, which costs no more than to gather
        them as they are. Turned and zoomed ones are bilinear between pixels.
        """
        count = tf.shape(indices)[0]

        def draw(place: int) -> tf.Tensor:  # from 0 up to 1
            return noise.uniform(place, (count, 1, 1))

        if self.shift:
            rows, columns = framed.shape[1:]
            height, width = rows - 2 * self.shift, columns - 2 * self.shift
            starts = (
                tf.cast(draw(place) * (2 * self.shift + 1), tf.int32)  # from 0 to 2 * shift
                for place in (SHIFT_Y, SHIFT_X)
            )
            y = next(starts) + tf.reshape(tf.range(height), (1, height, 1))
            x = next(starts) + tf.reshape(tf.range(width), (1, 1, width))
            pixels = (tf.reshape(indices, (count, 1, 1)) * rows + y) * columns + x
            images = tf.gather(tf.reshape(framed, (-1,)), pixels)
        else:
            images = tf.gather(framed, indices)
        if self.rotation or self.zoom:
            angle = math.radians(self.rotation) * (2 * draw(ANGLE) - 1)
            images = turned(images, angle, 1 + self.zoom * (2 * draw(ZOOM) - 1))
        if self.flip:
            mirrored = noise.bernoulli(FLIP, 1 / 2, (count, 1, 1))
            images = tf.where(mirrored, tf.reverse(images, [2]), images)
        return images


def turned(images: tf.Tensor, angle: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Turns by `angle`, in radians, and enlarges by `scale`, both (N, 1, 1), about the centre."""
    height, width = images.shape[1:]
    y = tf.reshape(tf.range(height, dtype=tf.float32) - (height - 1) / 2, (1, height, 1))
    x = tf.reshape(tf.range(width, dtype=tf.float32) - (width - 1) / 2, (1, 1, width))
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    # Where each pixel comes from, in an image with a frame of zeros, which stands for all beyond.
    from_y = tf.clip_by_value(cosine * y - sine * x + (height + 1) / 2, 0, height + 0.999)
    from_x = tf.clip_by_value(sine * y + cosine * x + (width + 1) / 2, 0, width + 0.999)
    top, left = tf.floor(from_y), tf.floor(from_x)
    below, right = from_y - top, from_x - left  # how far towards the next pixel, 0 to 1
    framed = tf.pad(images, [(0, 0), (1, 1), (1, 1)])
    flat = tf.reshape(framed, (-1, (height + 2) * (width + 2)))
    corner = tf.cast(top, tf.int32) * (width + 2) + tf.cast(left, tf.int32)
    corner = tf.reshape(corner, (-1, height * width))

    def pixels(offset: int) -> tf.Tensor:
        found = tf.gather(flat, corner + offset, batch_dims=1)
        return tf.cast(tf.reshape(found, (-1, height, width)), tf.float32)

    upper = (1 - right) * pixels(0) + right * pixels(1)
    lower = (1 - right) * pixels(width + 2) + right * pixels(width + 3)
    return tf.cast(tf.round((1 - below) * upper + below * lower), tf.uint8)

"""Random augmentation of training images, drawn afresh at each step."""

import math
from dataclasses import dataclass

import tensorflow as tf

from pipeline.training.randomness import PLACES, RandomStream

FLIP, SHIFT_Y, SHIFT_X, ANGLE, ZOOM = range(PLACES - 5, PLACES)  # places in the random stream


@dataclass(frozen=True)
class Augmentation:
    """How far images are moved at random; what comes in from outside is 0."""

    shift: int = 0  # up to so many whole pixels up, down, left and right
    rotation: float = 0.0  # up to so many degrees about the centre, either way
    zoom: float = 0.0  # larger or smaller by up to this share
    flip: bool = False  # half of them, left to right

    def pad(self, images: tf.Tensor) -> tf.Tensor:
        """`images`, (N, height, width[, 3]) uint8, with a margin to shift into, for `gather`."""
        margin = (self.shift, self.shift)
        return tf.pad(images, [(0, 0), margin, margin, *[(0, 0)] * (len(images.shape) - 3)])

    def gather(self, padded: tf.Tensor, indices: tf.Tensor, stream: RandomStream) -> tf.Tensor:
        """The images at `indices`, (batch,) int32, augmented: (batch, height, width[, 3]) uint8.

        All channels of an image are moved alike.

        Args:
            padded: all images, from `pad`.
            indices: which of them.
            stream: of random numbers.
        """
        count = tf.shape(indices)[0]

        def draw(place: int) -> tf.Tensor:  # from 0 up to 1
            return stream.uniform(place, (count, 1, 1))

        if self.shift:
            images = self._shifted(padded, indices, draw(SHIFT_Y), draw(SHIFT_X))
        else:
            images = tf.gather(padded, indices)
        if self.rotation or self.zoom:
            angle = math.radians(self.rotation) * (2 * draw(ANGLE) - 1)
            images = rotate(images, angle, 1 + self.zoom * (2 * draw(ZOOM) - 1))
        if self.flip:
            mirrored = stream.bernoulli(FLIP, 1 / 2, (count, *[1] * (len(images.shape) - 1)))
            images = tf.where(mirrored, tf.reverse(images, [2]), images)
        return images

    def _shifted(
        self, padded: tf.Tensor, indices: tf.Tensor, down: tf.Tensor, right: tf.Tensor
    ) -> tf.Tensor:
        """The images at `indices`, each gathered from where the shift puts it.

        That costs no more than to gather them as they are.

        Args:
            padded: (N, height + 2 * shift, width + 2 * shift[, 3]) uint8.
            indices: (batch,) int32.
            down: (batch, 1, 1) from 0 up to 1.
            right: likewise.
        """
        rows, columns, *channels = padded.shape[1:]
        height, width = rows - 2 * self.shift, columns - 2 * self.shift
        integer = position_type(padded.shape)

        def start(draw: tf.Tensor) -> tf.Tensor:  # from 0 to 2 * shift
            return tf.cast(draw * (2 * self.shift + 1), integer)

        y = start(down) + tf.reshape(tf.range(height, dtype=integer), (1, height, 1))
        x = start(right) + tf.reshape(tf.range(width, dtype=integer), (1, 1, width))
        number = tf.cast(tf.reshape(indices, (-1, 1, 1)), integer)
        return tf.gather(tf.reshape(padded, (-1, *channels)), (number * rows + y) * columns + x)


def position_type(shape: tuple[int | None, ...]) -> tf.DType:
    """The smallest integer type that can surely count the elements of an array of `shape`."""
    known = [size for size in shape if size is not None]
    fits = len(known) == len(shape) and math.prod(known) <= tf.int32.max
    return tf.int32 if fits else tf.int64


def rotate(images: tf.Tensor, angle: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """`images`, (N, height, width[, 3]) uint8, rotated about the centre and enlarged; bilinear.

    Args:
        images: what to rotate.
        angle: (N, 1, 1) radians.
        scale: (N, 1, 1) the factor by which they get larger.
    """
    height, width, *channels = images.shape[1:]
    y = tf.reshape(tf.range(height, dtype=tf.float32) - (height - 1) / 2, (1, height, 1))
    x = tf.reshape(tf.range(width, dtype=tf.float32) - (width - 1) / 2, (1, 1, width))
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    # Where each pixel comes from, in an image padded with zeros, which stand for all beyond.
    from_y = tf.clip_by_value(cosine * y - sine * x + (height + 1) / 2, 0, height + 0.999)
    from_x = tf.clip_by_value(sine * y + cosine * x + (width + 1) / 2, 0, width + 0.999)
    top, left = tf.floor(from_y), tf.floor(from_x)
    below, right = from_y - top, from_x - left  # how far towards the next pixel, 0 to 1
    padded = tf.pad(images, [(0, 0), (1, 1), (1, 1), *[(0, 0)] * len(channels)])
    flat = tf.reshape(padded, (-1, (height + 2) * (width + 2), *channels))
    corner = tf.cast(top, tf.int32) * (width + 2) + tf.cast(left, tf.int32)
    corner = tf.reshape(corner, (-1, height * width))

    def pixels(offset: int) -> tf.Tensor:
        values = tf.gather(flat, corner + offset, batch_dims=1)
        return tf.cast(tf.reshape(values, (-1, height, width, *channels)), tf.float32)

    if channels:
        below, right = below[..., tf.newaxis], right[..., tf.newaxis]

    upper = (1 - right) * pixels(0) + right * pixels(1)
    lower = (1 - right) * pixels(width + 2) + right * pixels(width + 3)
    return tf.cast(tf.round((1 - below) * upper + below * lower), tf.uint8)

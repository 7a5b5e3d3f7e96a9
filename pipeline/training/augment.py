"""Random augmentation of training images, drawn afresh at each step."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from pipeline.training.randomness import PLACES, RandomStream

FLIP, SHIFT_Y, SHIFT_X, ANGLE, ZOOM = range(PLACES - 5, PLACES)  # places in the random stream

BYTE = 0xFF


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
        if self == Augmentation():
            return tf.gather(padded, indices)
        count = tf.shape(indices)[0]
        once = partial(computed_once, stream)

        def draw(place: int) -> tf.Tensor:  # from 0 up to 1
            return stream.uniform(place, (count, 1, 1))

        if self.shift:
            images = self._shifted(padded, indices, draw(SHIFT_Y), draw(SHIFT_X))
        else:
            images = tf.gather(padded, indices)
        if self.rotation or self.zoom:
            angle = math.radians(self.rotation) * (2 * draw(ANGLE) - 1)
            images = rotate(once(images), angle, 1 + self.zoom * (2 * draw(ZOOM) - 1), once)
        if self.flip:
            mirrored = stream.bernoulli(FLIP, 1 / 2, (count, *[1] * (len(images.shape) - 1)))
            images = tf.where(mirrored, tf.reverse(images, [2]), images)
        return once(images)

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


def computed_once(stream: RandomStream, values: tf.Tensor) -> tf.Tensor:
    """`values`, computed once in a program, whatever reads them.

    XLA fuses a computation into everything that reads its results, which then repeats it for each
    pixel read: a convolution reads each nine times. It fuses nothing across a condition whose
    outcome it does not know; an optimization barrier is gone by then.

    Args:
        stream: whose step is never negative, which XLA does not know.
        values: of any shape.
    """
    step = stream.optimizer.iterations
    return tf.cond(step >= 0, lambda: tf.identity(values), lambda: tf.zeros_like(values))


def rotate(
    images: tf.Tensor,
    angle: tf.Tensor,
    scale: tf.Tensor,
    once: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tf.Tensor:
    """`images`, (N, height, width[, 3]) uint8, rotated about the centre and enlarged; bilinear.

    Args:
        images: what to rotate.
        angle: (N, 1, 1) radians.
        scale: (N, 1, 1) the factor by which they get larger.
        once: as in `interpolate`.
    """
    height, width = images.shape[1:3]
    y = tf.reshape(tf.range(height, dtype=tf.float32) - (height - 1) / 2, (1, height, 1))
    x = tf.reshape(tf.range(width, dtype=tf.float32) - (width - 1) / 2, (1, 1, width))
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    from_y, from_x = cosine * y - sine * x, sine * y + cosine * x
    return interpolate(images, from_y, from_x, once)


def interpolate(
    images: tf.Tensor,
    y: tf.Tensor,
    x: tf.Tensor,
    once: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tf.Tensor:
    """The values of `images`, (N, height, width[, 3]) uint8, between pixels; bilinear, rounded.

    Args:
        images: beyond which all is 0.
        y: (N, height, width) where each new pixel comes from, in pixels below the centre.
        x: likewise, to the right of it.
        once: returns its argument, and has XLA compute it once.
    """
    height, width, *channels = images.shape[1:]
    # In an image padded with zeros, which stand for all beyond.
    y = tf.clip_by_value(y + (height + 1) / 2, 0, height + 0.999)
    x = tf.clip_by_value(x + (width + 1) / 2, 0, width + 0.999)
    top, left = tf.floor(y), tf.floor(x)
    below, right = y - top, x - left  # how far towards the next pixel, 0 to 1
    squares = once(packed_squares(images))
    corner = tf.cast(top, tf.int32) * (width + 1) + tf.cast(left, tf.int32)
    packed = tf.gather(
        tf.reshape(squares, (-1, (height + 1) * (width + 1), *channels)),
        tf.reshape(corner, (-1, height * width)),
        batch_dims=1,
    )
    packed = once(tf.reshape(packed, (-1, height, width, *channels)))

    def pixels(shift: int) -> tf.Tensor:
        values = tf.bitwise.bitwise_and(tf.bitwise.right_shift(packed, shift), BYTE)
        return tf.cast(values, tf.float32)

    if channels:
        below, right = below[..., tf.newaxis], right[..., tf.newaxis]
    upper = (1 - right) * pixels(0) + right * pixels(8)
    lower = (1 - right) * pixels(16) + right * pixels(24)
    return tf.cast(tf.round((1 - below) * upper + below * lower), tf.uint8)


def packed_squares(images: tf.Tensor) -> tf.Tensor:
    """Each 2x2 pixels of `images`, with a margin of zeros, as the four bytes of a number.

    To gather it takes a quarter of the time that its pixels take one by one.

    Args:
        images: (N, height, width[, 3]) uint8.

    Returns:
        (N, height + 1, width + 1[, 3]) int32, from the lowest byte on: the upper left pixel, the
        upper right one, the lower left one and the lower right one.
    """
    margin = (1, 1)
    padded = tf.pad(images, [(0, 0), margin, margin, *[(0, 0)] * (len(images.shape) - 3)])
    pixels = tf.cast(padded, tf.int32)
    rows = tf.bitwise.bitwise_or(pixels[:, :, :-1], tf.bitwise.left_shift(pixels[:, :, 1:], 8))
    return tf.bitwise.bitwise_or(rows[:, :-1], tf.bitwise.left_shift(rows[:, 1:], 16))

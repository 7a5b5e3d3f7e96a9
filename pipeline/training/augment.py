"""Random augmentation of training images, drawn afresh at each step."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import tensorflow as tf

from pipeline.training.randomness import PLACES, RandomStream

# Places in the random stream.
ERASE_Y, ERASE_X, SHEAR, ELASTIC, FLIP, SHIFT_Y, SHIFT_X, ANGLE, ZOOM = range(PLACES - 9, PLACES)

BYTE = 0xFF


@dataclass(frozen=True)
class Augmentation:
    """How images are changed at random; what comes in from outside is 0."""

    shift: int = 0  # up to so many whole pixels up, down, left and right
    rotation: float = 0.0  # up to so many degrees about the centre, either way
    zoom: float = 0.0  # larger or smaller by up to this share
    shear: float = 0.0  # slanted by up to so many degrees, either way
    elastic: float = 0.0  # up to so many pixels along each axis at every knot of a grid
    elastic_grid: int = 6  # pixels between the knots
    flip: bool = False  # half of them, left to right
    erase: int = 0  # a square of so many pixels a side becomes 0

    def gather(self, images: tf.Tensor, indices: tf.Tensor, stream: RandomStream) -> tf.Tensor:
        """The images at `indices`, (batch,) int32, augmented: (batch, height, width[, 3]) uint8.

        All channels of an image are moved alike.

        Args:
            images: all of them, (N, height, width[, 3]) uint8.
            indices: which of them.
            stream: of random numbers.
        """
        if self == Augmentation():
            return tf.gather(images, indices)
        count = tf.shape(indices)[0]
        once = partial(computed_once, stream)

        def draw(place: int) -> tf.Tensor:  # from 0 up to 1
            return stream.uniform(place, (count, 1, 1))

        if self.shift:
            images = self._shifted(images, indices, draw(SHIFT_Y), draw(SHIFT_X))
        else:
            images = tf.gather(images, indices)
        if self.rotation or self.zoom or self.shear or self.elastic:
            shape = images.shape[1:3]
            y, x = affine(
                shape,
                math.radians(self.rotation) * (2 * draw(ANGLE) - 1),
                1 + self.zoom * (2 * draw(ZOOM) - 1),
                tf.tan(math.radians(self.shear) * (2 * draw(SHEAR) - 1)),
            )
            if self.elastic:
                size = [knots_for(length, self.elastic_grid) for length in shape]
                knots = stream.uniform(ELASTIC, (2, count, *size))
                field = self._field(knots, shape, once)
                y, x = once(y + field[0]), once(x + field[1])
            images = interpolate(once(images), y, x, once)
        if self.flip:
            mirrored = stream.bernoulli(FLIP, 1 / 2, (count, *[1] * (len(images.shape) - 1)))
            images = tf.where(mirrored, tf.reverse(images, [2]), images)
        if self.erase:
            images = self._erased(images, draw(ERASE_Y), draw(ERASE_X))
        return once(images)

    def _field(
        self,
        draws: tf.Tensor,
        shape: tuple[int, int],
        once: Callable[[tf.Tensor], tf.Tensor],
    ) -> tf.Tensor:
        """A smooth random field of displacements, (2, N, height, width) pixels down and right.

        Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to
        Visual Document Analysis", ICDAR 2003; here it is smooth as a cubic B-spline of random
        displacements on a grid.

        Args:
            draws: (2, N, knots, knots) from 0 up to 1.
            shape: height and width.
            once: as in `interpolate`.
        """
        height, width = shape
        knots = self.elastic * (2 * draws - 1)
        rows = once(spline(knots, 2, self.elastic_grid, height))
        return spline(rows, 3, self.elastic_grid, width)

    def _erased(self, images: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        """`images` with a black square around a random pixel, which may reach beyond the edge.

        DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout",
        arXiv:1708.04552, 2017.

        Args:
            images: (batch, height, width[, 3]) uint8.
            down: (batch, 1, 1) from 0 up to 1.
            right: likewise.
        """
        height, width, *channels = images.shape[1:]

        def inside(draw: tf.Tensor, size: int) -> tf.Tensor:  # (batch, 1, size)
            first = tf.cast(draw * size, tf.int32) - self.erase // 2
            places = tf.range(size)
            return (places >= first) & (places < first + self.erase)

        square = tf.linalg.matrix_transpose(inside(down, height)) & inside(right, width)
        if channels:
            square = square[..., tf.newaxis]
        return tf.where(square, tf.zeros((), images.dtype), images)

    def _shifted(
        self, images: tf.Tensor, indices: tf.Tensor, down: tf.Tensor, right: tf.Tensor
    ) -> tf.Tensor:
        """The images at `indices`, each gathered from where the shift puts it.

        That costs no more than to gather them as they are.

        Args:
            images: (N, height, width[, 3]) uint8.
            indices: (batch,) int32.
            down: (batch, 1, 1) from 0 up to 1.
            right: likewise.
        """
        height, width, *channels = images.shape[1:]
        integer = position_type(images.shape)

        def start(draw: tf.Tensor) -> tf.Tensor:  # from -shift to shift
            return tf.cast(draw * (2 * self.shift + 1), integer) - self.shift

        y = start(down) + tf.reshape(tf.range(height, dtype=integer), (1, height, 1))
        x = start(right) + tf.reshape(tf.range(width, dtype=integer), (1, 1, width))
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        y, x = tf.clip_by_value(y, 0, height - 1), tf.clip_by_value(x, 0, width - 1)
        number = tf.cast(tf.reshape(indices, (-1, 1, 1)), integer)
        places = (number * height + y) * width + x
        moved = tf.gather(tf.reshape(images, (-1, *channels)), places)
        if channels:
            inside = inside[..., tf.newaxis]
        return tf.where(inside, moved, tf.zeros((), images.dtype))


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


def affine(
    shape: tuple[int, int], angle: tf.Tensor, scale: tf.Tensor, slope: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where the pixels of sheared, rotated and enlarged images come from, for `interpolate`.

    Args:
        shape: height and width.
        angle: (N, 1, 1) radians, about the centre.
        scale: (N, 1, 1) the factor by which images get larger.
        slope: (N, 1, 1) by how much a row lies further to the left than the one above it.

    Returns:
        (N, height, width) pixels below the centre, and pixels to the right of it.
    """
    height, width = shape
    y = tf.reshape(tf.range(height, dtype=tf.float32) - (height - 1) / 2, (1, height, 1))
    x = tf.reshape(tf.range(width, dtype=tf.float32) - (width - 1) / 2, (1, 1, width))
    x += slope * y
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    return cosine * y - sine * x, sine * y + cosine * x


def spline(knots: tf.Tensor, axis: int, spacing: int, size: int) -> tf.Tensor:
    """`knots`, upsampled along `axis` by a uniform cubic B-spline.

    (Unser, "Splines: A Perfect Fit for Signal and Image Processing", IEEE Signal Processing
    Magazine 16, 1999.) Sums of products element by element, which any processor adds up alike.

    Args:
        knots: float32 with `knots_for(size, spacing)` along `axis`, of which the first lies
            `spacing` before the first new point.
        axis: along which to upsample.
        spacing: new points from one knot to the next.
        size: how many new points.
    """
    shape = [*knots.shape]
    intervals = shape[axis] - 3
    fraction = np.arange(spacing) / spacing  # of the way from a knot to the next
    weights = np.stack(
        [
            (1 - fraction) ** 3,
            3 * fraction**3 - 6 * fraction**2 + 4,
            -3 * fraction**3 + 3 * fraction**2 + 3 * fraction + 1,
            fraction**3,
        ]
    ).astype(np.float32) / np.float32(6)
    weights = weights.reshape(4, spacing, *[1] * (len(shape) - axis - 1))
    begin, end = [0] * len(shape), [-1] * len(shape)
    total: tf.Tensor = 0.0
    for number, weight in enumerate(weights):
        begin[axis], end[axis] = number, intervals
        total += tf.expand_dims(tf.slice(knots, begin, end), axis + 1) * weight
    fine = [-1 if length is None else length for length in shape]
    fine[axis] = intervals * spacing
    begin[axis], end[axis] = 0, size
    return tf.slice(tf.reshape(total, fine), begin, end)


def knots_for(size: int, spacing: int) -> int:
    """How many knots `spline` needs for `size` points."""
    return math.ceil(size / spacing) + 3


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

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.ndimage import affine_transform

from pipeline.training import augment
from pipeline.training.augment import (
    Augmentation,
    affine,
    interpolate,
    knots_for,
    position_type,
    spline,
)
from pipeline.training.randomness import RandomStream
from tests.training.support import stream

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7)).astype(np.uint8)


def take(augmentation: Augmentation, images: np.ndarray, draws: RandomStream) -> np.ndarray:
    indices = tf.range(len(images))
    found: np.ndarray = augmentation.gather(tf.constant(images), indices, draws).numpy()
    return found


def test_nothing_moves_by_default() -> None:
    np.testing.assert_array_equal(take(Augmentation(), IMAGES, stream()), IMAGES)


def test_indices_choose_the_images() -> None:
    augmentation = Augmentation()
    found = augmentation.gather(tf.constant(IMAGES), tf.constant([4, 0, 4]), stream())
    np.testing.assert_array_equal(found, IMAGES[[4, 0, 4]])


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1), st.integers(0, 10**9))
def test_a_shifted_image_is_a_window_of_the_padded_one(shift: int, seed: int, step: int) -> None:
    moved = take(Augmentation(shift=shift), IMAGES, stream(seed, step))
    padded = np.pad(IMAGES, [(0, 0), (shift, shift), (shift, shift)])
    for image, margin in zip(moved, padded, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(margin, image.shape)
        assert any(np.array_equal(image, window) for row in windows for window in row)


def test_every_shift_comes_equally_often() -> None:
    dots = np.zeros((9000, 3, 3), np.uint8)
    dots[:, 1, 1] = 1
    moved = take(Augmentation(shift=1), dots, stream())
    np.testing.assert_allclose(moved.sum(axis=0), np.full((3, 3), 1000), atol=150)  # 5 deviations


def moved(
    images: np.ndarray, angle: float = 0.0, scale: float = 1.0, slope: float = 0.0
) -> np.ndarray:
    numbers = (tf.fill((len(images), 1, 1), np.float32(one)) for one in (angle, scale, slope))
    found: np.ndarray = interpolate(
        tf.constant(images), *affine(images.shape[1:3], *numbers)
    ).numpy()
    return found


@settings(deadline=None, max_examples=50)
@given(st.floats(-math.pi, math.pi), st.floats(0.5, 2))
def test_a_turn_is_that_of_scipy(angle: float, scale: float) -> None:
    found = moved(IMAGES, angle=angle, scale=scale)
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = np.array([2.5, 3.0])
    for image, other in zip(IMAGES, found, strict=True):
        expected = affine_transform(
            np.pad(image, 1).astype(float),
            matrix / scale,
            offset=centre + 1 - matrix / scale @ (centre + 1),
            order=1,
        )[1:-1, 1:-1]
        np.testing.assert_allclose(other, expected, atol=1)  # grey levels, of 255


def four_gathers(images: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """The plain way of `interpolate`: the four pixels around each place are gathered one by one."""
    height, width, *channels = images.shape[1:]
    y = tf.clip_by_value(y + (height + 1) / 2, 0, height + 0.999)
    x = tf.clip_by_value(x + (width + 1) / 2, 0, width + 0.999)
    top, left = tf.floor(y), tf.floor(x)
    below, right = y - top, x - left
    padded = tf.pad(images, [(0, 0), (1, 1), (1, 1), *[(0, 0)] * len(channels)])
    places = tf.stack([tf.cast(top, tf.int32), tf.cast(left, tf.int32)], -1)

    def pixels(*offset: int) -> tf.Tensor:
        return tf.cast(tf.gather_nd(padded, places + offset, batch_dims=1), tf.float32)

    if channels:
        below, right = below[..., tf.newaxis], right[..., tf.newaxis]
    upper = (1 - right) * pixels(0, 0) + right * pixels(0, 1)
    lower = (1 - right) * pixels(1, 0) + right * pixels(1, 1)
    return tf.cast(tf.round((1 - below) * upper + below * lower), tf.uint8)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_packed_pixels_are_those_around(channels: tuple[int, ...]) -> None:
    generator = np.random.default_rng(1)
    images = tf.constant(generator.integers(0, 256, (9, 6, 7, *channels)).astype(np.uint8))
    y, x = tf.constant(generator.uniform(-6, 6, (2, 9, 6, 7)).astype(np.float32))  # also beyond
    plain = four_gathers(images, y, x).numpy()
    np.testing.assert_array_equal(interpolate(images, y, x).numpy(), plain)
    compiled = tf.function(interpolate, jit_compile=True)  # may contract a product and a sum
    np.testing.assert_allclose(compiled(images, y, x).numpy().astype(int), plain, atol=1)


def test_a_quarter_turn() -> None:
    squares = IMAGES[:, :, :6]
    found = moved(squares, angle=math.pi / 2)
    np.testing.assert_allclose(found, np.rot90(squares, axes=(2, 1)), atol=1)


def test_a_slope_of_one_moves_each_row_by_a_pixel_more() -> None:
    column = np.zeros((1, 5, 5), np.uint8)
    column[:, :, 2] = 7
    np.testing.assert_array_equal(moved(column, slope=1.0)[0], np.fliplr(np.eye(5)) * 7)


def test_shear_stays_within_what_was_asked_for() -> None:
    line = np.zeros((500, 41, 41), np.uint8)
    line[:, :, 20] = 255
    sheared = take(Augmentation(shear=20.0), line, stream())
    columns = sheared[:, 0].argmax(axis=1) - 20  # where the line meets the upper edge
    np.testing.assert_array_equal(sheared[:, 20, 20], 255)  # the centre stays
    assert abs(columns).max() <= 20 * math.tan(math.radians(20)) + 0.5
    assert columns.min() < -5
    assert columns.max() > 5


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(1, 40), st.sampled_from([1, 2]))
def test_a_spline_is_that_of_scipy(spacing: int, size: int, axis: int) -> None:
    count = knots_for(size, spacing)
    knots = np.random.default_rng(size).uniform(-1, 1, (2, count, count)).astype(np.float32)
    found = spline(tf.constant(knots), axis, spacing, size).numpy()
    places = np.arange(-3, count + 1)  # of the knots of a spline with `count` coefficients
    curve = BSpline(places, np.moveaxis(knots, axis, 0), 3)
    expected = np.moveaxis(curve(np.arange(size) / spacing), 0, axis)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_compiled_augmentation_is_deterministic_and_reads_its_count_when_run() -> None:
    augmentation = Augmentation(1, rotation=10.0, zoom=0.1, flip=True, shear=5.0, elastic=2.0)
    numbers = stream()

    def gather(images: tf.Tensor) -> tf.Tensor:
        indices = tf.range(tf.shape(images)[0])
        return augmentation.gather(images, indices, numbers)

    compiled = tf.function(gather, [tf.TensorSpec((None, 6, 7), tf.uint8)], jit_compile=True)
    once = compiled(IMAGES).numpy()
    np.testing.assert_array_equal(compiled(IMAGES).numpy(), once)
    assert compiled(IMAGES[:2]).shape == (2, 6, 7)
    assert not np.array_equal(once, IMAGES)


def test_elastic_moves_neighbours_alike_and_no_further_than_asked_for() -> None:
    dots = np.zeros((2000, 25, 25), np.uint8)
    dots[:, 10:15, 10:15] = 100  # its centre of mass follows the field there
    found = take(Augmentation(elastic=3.0, elastic_grid=6), dots, stream()).astype(float)
    assert found[:, :6].max() == found[:, :, 19:].max() == 0  # 3 pixels, and one of interpolation
    rows = (found.sum(axis=2) * np.arange(25)).sum(axis=1) / found.sum(axis=(1, 2)) - 12
    # Uniform from -3 to 3 has a deviation of 3/sqrt(3); at a knot, where the weights of the spline
    # are 1/6, 4/6 and 1/6, half of it is left. The dot is 5 pixels wide, and averages further.
    assert abs(rows.mean()) < 0.1
    assert 0.6 < rows.std() < 3 / math.sqrt(3) / 2


def test_turns_stay_within_what_was_asked_for() -> None:
    line = np.zeros((500, 41, 41), np.uint8)
    line[:, 20, :] = 255
    moved = take(Augmentation(rotation=10.0), line, stream())
    rows = moved[:, :, 40].argmax(axis=1) - 20  # where the line meets the right edge
    assert abs(rows).max() <= 20 * math.tan(math.radians(10)) + 0.5
    assert rows.min() < -2
    assert rows.max() > 2


def test_every_other_image_is_mirrored() -> None:
    images = np.random.default_rng(1).integers(0, 256, (4000, 3, 4)).astype(np.uint8)
    found = take(Augmentation(flip=True), images, stream())
    mirrored = (found == images[:, :, ::-1]).all(axis=(1, 2))
    np.testing.assert_array_equal(found[~mirrored], images[~mirrored])
    assert abs(mirrored.sum() - 2000) < 160  # 5 deviations


def test_every_pixel_is_the_middle_of_an_erased_square() -> None:
    white = np.full((2000, 4, 5), 255, np.uint8)
    found = {image.tobytes() for image in take(Augmentation(erase=3), white, stream())}
    expected = set()
    for y, x in np.ndindex(4, 5):
        square = np.full((4, 5), 255, np.uint8)
        square[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 0
        expected.add(square.tobytes())
    assert found == expected


def test_an_erased_square_of_an_even_side() -> None:
    white = np.full((500, 9, 9), 255, np.uint8)
    found = take(Augmentation(erase=4), white, stream())
    assert (found == 0).sum(axis=(1, 2)).max() == 16


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(shift=2),
        Augmentation(rotation=30.0, zoom=0.2),
        Augmentation(flip=True),
        Augmentation(shear=10.0, elastic=2.0, elastic_grid=3),
        Augmentation(erase=2),
        Augmentation(shift=1, rotation=10.0, zoom=0.1, flip=True),
    ],
)
def test_the_channels_of_a_colour_image_move_alike(augmentation: Augmentation) -> None:
    channels = (IMAGES, IMAGES[::-1], 255 - IMAGES)
    moved = take(augmentation, np.stack(channels, axis=-1), stream())
    for number, channel in enumerate(channels):
        np.testing.assert_array_equal(moved[..., number], take(augmentation, channel, stream()))


def test_outside_a_colour_image_it_is_black() -> None:
    white = np.full((50, 3, 3, 3), 255, np.uint8)
    moved = take(Augmentation(shift=1), white, stream())
    assert {tuple(colour) for colour in moved.reshape(-1, 3)} == {(0, 0, 0), (255, 255, 255)}


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((60_000, 28 + 2 * 85, 28 + 2 * 85), tf.int64),  # 2,352,240,000 pixels
        ((60_000, 28 + 2 * 80, 28 + 2 * 80), tf.int32),  # 2,120,640,000, and int32 ends at
        ((33_000, 258, 258), tf.int64),
        ((2**31 - 1,), tf.int32),
        ((2**31,), tf.int64),
        ((None, 30, 30), tf.int64),
    ],
)
def test_positions_do_not_overflow(shape: tuple[int | None, ...], expected: tf.DType) -> None:
    assert position_type(shape) is expected


def test_a_shift_is_the_same_with_either_integer(monkeypatch: pytest.MonkeyPatch) -> None:
    augmentation = Augmentation(shift=2)
    small = take(augmentation, IMAGES, stream())
    monkeypatch.setattr(augment, "position_type", lambda _shape: tf.int64)
    np.testing.assert_array_equal(take(augmentation, IMAGES, stream()), small)


@pytest.mark.long("pipeline/training/augment.py")
def test_a_shift_of_two_thousand_million_pixels() -> None:
    augmentation = Augmentation(shift=1)
    images = np.zeros((33_000, 256, 256), np.uint8)
    images[:, ::2, ::2] = np.arange(33_000, dtype=np.uint32)[:, None, None] % 255 + 1

    numbers = stream()

    def gather(padded: tf.Tensor, indices: tf.Tensor) -> tf.Tensor:
        return augmentation.gather(padded, indices, numbers)

    last = tf.constant([0, 32_998, 32_999])
    compiled = tf.function(gather, jit_compile=True)
    found = compiled(tf.constant(images), last).numpy()
    assert found.max(axis=(1, 2)).tolist() == [1, 32_998 % 255 + 1, 32_999 % 255 + 1]

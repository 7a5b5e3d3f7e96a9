import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from pipeline import backend

backend.start()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from pipeline.noise import Augment, Noise, turned  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 6, 7)).astype(np.uint8)


def noise(seed: int = 0, step: int = 0) -> Noise:
    optimizer = keras.optimizers.SGD()
    optimizer.iterations.assign(step)
    return Noise(seed, optimizer)


def take(augment: Augment, images: np.ndarray, draws: Noise) -> np.ndarray:
    indices = tf.range(len(images))
    found: np.ndarray = augment.take(augment.frame(tf.constant(images)), indices, draws).numpy()
    return found


def test_numbers_follow_from_seed_step_and_place() -> None:
    keys = [
        (seed, step, place) for seed in (0, 1, 2**32 - 1) for step in (0, 1) for place in (0, 1)
    ]
    drawn = {
        key: tuple(noise(*key[:2]).uniform(key[2], (4,)).numpy().tolist()) for key in [*keys, *keys]
    }
    assert len(set(drawn.values())) == len(keys)
    assert all(0 <= number < 1 for numbers in drawn.values() for number in numbers)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 9), st.sampled_from([0.0, 0.001, 0.25, 0.999, 1.0]))
def test_true_as_often_as_it_is_probable(place: int, probability: float) -> None:
    found = noise().bernoulli(place, probability, (333, 301)).numpy()  # an odd number of them
    deviation = math.sqrt(probability * (1 - probability) / found.size)
    assert found.mean() == pytest.approx(probability, abs=6 * deviation + 2**-17)


def test_nothing_moves_by_default() -> None:
    np.testing.assert_array_equal(take(Augment(), IMAGES, noise()), IMAGES)


def test_indices_choose_the_images() -> None:
    augment = Augment()
    found = augment.take(augment.frame(tf.constant(IMAGES)), tf.constant([4, 0, 4]), noise())
    np.testing.assert_array_equal(found, IMAGES[[4, 0, 4]])


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(0, 2**32 - 1), st.integers(0, 10**9))
def test_a_shifted_image_is_a_window_of_the_framed_one(shift: int, seed: int, step: int) -> None:
    moved = take(Augment(shift=shift), IMAGES, noise(seed, step))
    framed = np.pad(IMAGES, [(0, 0), (shift, shift), (shift, shift)])
    for image, frame in zip(moved, framed, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(frame, image.shape)
        assert any(np.array_equal(image, window) for row in windows for window in row)


def test_every_shift_comes_equally_often() -> None:
    dots = np.zeros((9000, 3, 3), np.uint8)
    dots[:, 1, 1] = 1
    moved = take(Augment(shift=1), dots, noise())
    np.testing.assert_allclose(moved.sum(axis=0), np.full((3, 3), 1000), atol=150)  # 5 deviations


@settings(deadline=None, max_examples=50)
@given(st.floats(-math.pi, math.pi), st.floats(0.5, 2))
def test_a_turn_is_that_of_scipy(angle: float, scale: float) -> None:
    found = turned(
        tf.constant(IMAGES), tf.fill((5, 1, 1), np.float32(angle)), np.float32(scale)
    ).numpy()
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


def test_a_quarter_turn() -> None:
    squares = IMAGES[:, :, :6]
    angle = tf.fill((5, 1, 1), np.float32(math.pi / 2))
    found = turned(tf.constant(squares), angle, np.float32(1)).numpy()
    np.testing.assert_allclose(found, np.rot90(squares, axes=(2, 1)), atol=1)


def test_turns_stay_within_what_was_asked_for() -> None:
    line = np.zeros((500, 41, 41), np.uint8)
    line[:, 20, :] = 255
    moved = take(Augment(rotation=10.0), line, noise())
    rows = moved[:, :, 40].argmax(axis=1) - 20  # where the line meets the right edge
    assert abs(rows).max() <= 20 * math.tan(math.radians(10)) + 0.5
    assert rows.min() < -2
    assert rows.max() > 2


def test_every_other_image_is_mirrored() -> None:
    images = np.random.default_rng(1).integers(0, 256, (4000, 3, 4)).astype(np.uint8)
    found = take(Augment(flip=True), images, noise())
    mirrored = (found == images[:, :, ::-1]).all(axis=(1, 2))
    np.testing.assert_array_equal(found[~mirrored], images[~mirrored])
    assert abs(mirrored.sum() - 2000) < 160  # 5 deviations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gate.statistics import discordant, drop_upper_bound, mcnemar

LABELS = np.array([0, 1, 1, 2])
BASELINE = np.array([0, 1, 0, 0])
CANDIDATE = np.array([0, 0, 1, 0])


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    """b, c and n of a comparison."""
    n = draw(st.integers(1, 20_000))
    b = draw(st.integers(0, n))
    return b, draw(st.integers(0, n - b)), n


def test_the_images_that_one_model_gets_right() -> None:
    newly_wrong, newly_right = discordant(LABELS, BASELINE, CANDIDATE)
    assert (newly_wrong.tolist(), newly_right.tolist()) == ([1], [2])


def test_upper_bound_by_hand() -> None:
    # (30 - 20)/1000 + 1.6449·√(50 - 100/1000)/1000
    assert drop_upper_bound(30, 20, 1000, 0.95) == pytest.approx(0.01 + 0.0116192, abs=1e-7)
    assert drop_upper_bound(30, 20, 1000, 0.5) == pytest.approx(0.01)
    assert drop_upper_bound(0, 0, 1000, 0.95) == 0
    assert drop_upper_bound(1000, 0, 1000, 0.95) == 1


def test_upper_bound_of_arrays_is_that_of_their_elements() -> None:
    b, c = np.array([30, 0, 7]), np.array([20, 5, 7])
    bounds = drop_upper_bound(b, c, 1000, 0.9)
    for bound, one, other in zip(bounds, b, c, strict=True):
        assert bound == drop_upper_bound(one, other, 1000, 0.9)


def test_upper_bound_is_above_the_true_drop_as_often_as_it_says() -> None:
    # 3 % of the images newly wrong and 2 % newly right: a true drop of 1 point.
    generator = np.random.Generator(np.random.Philox(key=0))
    b, c, _ = generator.multinomial(5_000, [0.03, 0.02, 0.95], size=20_000).T
    for confidence in (0.8, 0.95, 0.99):
        covered = (drop_upper_bound(b, c, 5_000, confidence) >= 0.01).mean()
        assert covered == pytest.approx(confidence, abs=0.01)


@given(counts())
def test_upper_bound_is_not_below_the_drop(case: tuple[int, int, int]) -> None:
    b, c, n = case
    assert drop_upper_bound(b, c, n, 0.95) >= (b - c) / n - 1e-12


@given(counts(), st.floats(0.5, 0.999), st.floats(0.5, 0.999))
def test_upper_bound_grows_with_confidence(
    case: tuple[int, int, int], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert drop_upper_bound(*case, low) <= drop_upper_bound(*case, high) + 1e-12


@given(counts())
def test_one_more_newly_wrong_image_raises_the_upper_bound(case: tuple[int, int, int]) -> None:
    b, c, n = case
    if (
        b + c < n and b - c < n / 2
    ):  # beyond, nearly all images are newly wrong, and the error falls
        assert drop_upper_bound(b + 1, c, n, 0.95) > drop_upper_bound(b, c, n, 0.95)


@given(counts())
def test_exchanged_models_have_the_opposite_interval(case: tuple[int, int, int]) -> None:
    b, c, n = case
    drop = (b - c) / n
    there, back = drop_upper_bound(b, c, n, 0.95), drop_upper_bound(c, b, n, 0.95)
    assert there - drop == pytest.approx(back + drop)


def test_mcnemar_by_hand() -> None:
    # One of 5 images to one side: 2·(1 + 5)/2⁵.
    assert mcnemar(1, 4) == pytest.approx(2 * (1 + 5) / 2**5)
    assert mcnemar(0, 0) == 1
    assert mcnemar(3, 3) == pytest.approx(1)
    tail = sum(math.comb(50, k) for k in range(16)) / 2**50
    assert mcnemar(35, 15) == pytest.approx(2 * tail)


@given(counts())
def test_mcnemar_is_symmetric(case: tuple[int, int, int]) -> None:
    b, c, _ = case
    assert mcnemar(b, c) == pytest.approx(mcnemar(c, b))
    assert 0 <= mcnemar(b, c) <= 1

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.gate.statistics import (
    INFLUENCES,
    discordant,
    drop_upper_bound,
    f1_influence,
    half_width,
    mcnemar,
    recall_influence,
    sum_upper_bound,
)
from pipeline.records import Predictions
from pipeline.score import METRICS

LABELS = np.array([0, 1, 1, 2])
BASELINE = np.array([0, 1, 0, 0])
CANDIDATE = np.array([0, 0, 1, 0])


def generator(key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def predictions(labels: NDArray[np.intp], predicted: NDArray[np.intp]) -> Predictions:
    return Predictions(labels, predicted, np.ones(len(labels)))


def uneven_pair(
    draws: np.random.Generator,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Labels of four uneven classes, and two models; the second takes more for the next class."""
    labels = np.repeat(np.arange(4), (1_000, 300, 120, 80))
    difficulty = draws.random(len(labels))
    wrong = [difficulty + draws.normal(0, 0.1, len(labels)) > most for most in (0.9, 0.87)]
    one, other = ((labels + is_wrong) % 4 for is_wrong in wrong)
    return labels, one, other


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


def test_influences_by_hand() -> None:
    # Of two classes with three and one images, F1 is 2·2/(3 + 2) and 2·1/(1 + 2).
    labels, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    np.testing.assert_allclose(recall_influence(labels, predicted, 3), [1 / 6, 1 / 6, 0, 1 / 2])
    right, wrong, rare = (
        (2 / 5 - 4 / 5 / 5) / 2,
        (-2 / 3 / 3) / 2,
        (2 / 3 - 2 / 3 / 3) / 2,
    )
    found = f1_influence(labels, predicted, 3)
    np.testing.assert_allclose(found, [right, right, wrong, rare])


def test_an_image_changes_the_metric_by_its_influence() -> None:
    labels, one, _ = uneven_pair(generator(0))
    for metric, influence in INFLUENCES.items():
        before = influence(labels, one, 4)
        for image in (0, 1_100, 1_495):
            other = one.copy()
            other[image] = (one[image] + 1) % 4
            change = METRICS[metric](predictions(labels, other), 4)
            change -= METRICS[metric](predictions(labels, one), 4)
            expected = influence(labels, other, 4)[image] - before[image]
            assert change == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("metric", INFLUENCES)
def test_the_error_is_that_of_a_paired_bootstrap(metric: str) -> None:
    draws = generator(1)
    labels, *models = uneven_pair(draws)
    terms = np.subtract(*(INFLUENCES[metric](labels, model, 4) for model in models))
    of_a_class = [np.flatnonzero(labels == label) for label in range(4)]
    drops = []
    for _ in range(1_000):
        chosen = np.concatenate([draws.choice(images, len(images)) for images in of_a_class])
        values = [METRICS[metric](predictions(labels[chosen], one[chosen]), 4) for one in models]
        drops.append(values[0] - values[1])
    bound = sum_upper_bound(0.0, terms, 0.95)
    assert bound == pytest.approx(1.6449 * np.std(drops), rel=0.1)


@pytest.mark.parametrize("metric", INFLUENCES)
def test_the_bound_of_a_mean_over_classes_is_above_the_true_drop_as_often(metric: str) -> None:
    draws = generator(2)
    drops, bounds = [], []
    for _ in range(2_000):
        labels, one, other = uneven_pair(draws)
        values = [METRICS[metric](predictions(labels, model), 4) for model in (one, other)]
        terms = np.subtract(*(INFLUENCES[metric](labels, model, 4) for model in (one, other)))
        drops.append(values[0] - values[1])
        bounds.append(sum_upper_bound(drops[-1], terms, 0.95))
    assert np.mean(np.array(bounds) >= np.mean(drops)) == pytest.approx(0.95, abs=0.015)


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=30))
def test_the_influences_on_balanced_accuracy_add_up_to_it(rows: list[tuple[int, ...]]) -> None:
    labels, one, other = np.array(rows).T
    shares = [recall_influence(labels, model, 4) for model in (one, other)]
    for share, model in zip(shares, (one, other), strict=True):
        value = METRICS["balanced_accuracy"](predictions(labels, model), 4)
        assert share.sum() == pytest.approx(value)
    drop = shares[0].sum() - shares[1].sum()
    assert sum_upper_bound(drop, shares[0] - shares[1], 0.95) >= drop


def test_half_an_interval_by_hand() -> None:
    # Class by class 1 of 1, 1 of 2 and 0 of 1 are right, taken as 2/3, 2/4 and 1/3.
    variance = (2 / 9 / 1 + 1 / 4 / 2 + 2 / 9 / 1) / 3**2
    found = half_width("balanced_accuracy", LABELS, BASELINE, 3)
    assert found == pytest.approx(1.959964 * math.sqrt(variance))
    # One more right image adds 2/(1 + 3), 2/(2 + 1) and 2/(1 + 0) to the F1 of its class.
    terms = (2 / 9 * (1 / 2) ** 2, 2 * (1 / 4) * (2 / 3) ** 2, 2 / 9 * 2**2)
    found = half_width("macro_f1", LABELS, BASELINE, 3)
    assert found == pytest.approx(1.959964 * math.sqrt(sum(terms)) / 3)


@pytest.mark.parametrize("metric", INFLUENCES)
def test_an_interval_contains_the_true_value_as_often_as_it_says(metric: str) -> None:
    images, share = np.array([200, 60, 20, 5]), np.array([0.9, 0.8, 0.7, 0.6])

    def drawn(draws: np.random.Generator, times: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        labels = np.repeat(np.arange(4), images * times)
        others = (labels + draws.integers(1, 4, len(labels))) % 4
        return labels, np.where(draws.random(len(labels)) < share[labels], labels, others)

    true = METRICS[metric](predictions(*drawn(generator(0), 10_000)), 4)
    runs = [drawn(generator(key), 1) for key in range(1, 501)]
    within = [
        abs(METRICS[metric](predictions(*run), 4) - true) <= half_width(metric, *run, 4)
        for run in runs
    ]
    assert 0.92 < np.mean(within) < 0.995


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

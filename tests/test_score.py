import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Predictions
from pipeline.score import (
    accuracy,
    accuracy_per_class,
    agreement,
    balanced_accuracy,
    calibration_error,
    confusion,
    cross_entropy,
    f1_per_class,
    macro_f1,
    most_confident_mistakes,
    most_confused,
    predictions_of,
    score,
    uneven,
    wilson_interval,
)

LABELS = np.array([0, 1, 1])
PREDICTIONS = Predictions(LABELS, np.array([0, 1, 0]), np.array([0.8, 0.7, 0.6]))


def test_predictions_by_hand() -> None:
    logits = np.log(np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]))
    for parts in ([logits], [logits[:2], logits[2:]]):
        found, loss = predictions_of(parts, LABELS)
        assert found.labels.tolist() == [0, 1, 1]
        assert found.predicted.tolist() == [0, 1, 0]
        np.testing.assert_allclose(found.probability, [0.8, 0.7, 0.6])
        assert loss == pytest.approx(-np.log(0.8 * 0.7 * 0.3) / 3)


def test_confusion_has_actual_rows_and_predicted_columns() -> None:
    everything = confusion(PREDICTIONS, 3, np.arange(3))
    assert everything.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert confusion(PREDICTIONS, 3, np.array([1, 2])).tolist() == [[1, 0], [0, 0]]


def test_the_most_confused_of_10_000_classes() -> None:
    labels = np.arange(10_000)
    predicted = labels.copy()
    predicted[7_000], predicted[5], predicted[6] = 300, 300, 8
    found = Predictions(labels, predicted, np.ones(10_000))
    assert most_confused(found, 10_000, 3).tolist() == [5, 6, 300]  # one, one and two mistakes
    assert confusion(found, 10_000, np.array([5, 6, 300])).tolist() == [
        [0, 0, 1],
        [0, 0, 0],
        [0, 0, 1],
    ]


def test_accuracy_per_class_by_hand() -> None:
    np.testing.assert_array_equal(accuracy_per_class(PREDICTIONS, 3), [1, 1 / 2, np.nan])


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((10, 20), False), ((10, 21), True), ((0, 5, 5), False), ((3,), False), ((1, 0, 3), True)],
)
def test_classes_are_uneven_from_twice_the_images(counts: tuple[int, ...], expected: bool) -> None:
    assert uneven(np.repeat(np.arange(len(counts)), counts)) is expected


def test_balanced_accuracy_and_macro_f1_by_hand() -> None:
    # Class 0: 3 of 4 right, and 4 taken for it. Class 1: 1 of 2, 1. Class 2 has no images, 1.
    labels, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 2, 1, 0])
    found = Predictions(labels, predicted, np.ones(6))
    assert balanced_accuracy(found, 3) == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert macro_f1(found, 3) == pytest.approx((2 * 3 / (4 + 4) + 2 * 1 / (2 + 1)) / 2)
    np.testing.assert_allclose(f1_per_class(found, 3), [3 / 4, 2 / 3, np.nan])


def test_they_are_written_where_classes_are_uneven() -> None:
    labels = np.array([0, 0, 0, 1])
    found = agreement(Predictions(labels, labels * 0, np.ones(4)), ("a", "b"))
    assert (found["accuracy"], found["balanced_accuracy"]) == (0.75, 0.5)
    assert found["macro_f1"] == pytest.approx((2 * 3 / (3 + 4) + 0) / 2)
    assert "balanced_accuracy" not in agreement(PREDICTIONS, ("a", "b"))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1), st.integers(2, 5))
def test_with_even_classes_balanced_accuracy_is_accuracy(
    pairs: list[tuple[int, int]], repeat: int
) -> None:
    labels, predicted = np.array(pairs).T
    found = Predictions(labels, predicted, np.ones(len(labels)))
    images = np.bincount(labels, minlength=4)
    if len(set(images[images > 0])) == 1:
        assert balanced_accuracy(found, 4) == pytest.approx(accuracy(found, 4))
    more = Predictions(np.tile(labels, repeat), np.tile(predicted, repeat), np.ones(0))
    for metric in (balanced_accuracy, macro_f1):
        assert metric(more, 4) == pytest.approx(metric(found, 4))


def test_the_most_confident_mistakes_come_first() -> None:
    probability = np.array([0.5, 0.9, 0.8, 0.8, 0.9])
    labels, predicted = np.zeros(5, np.intp), np.array([1, 1, 1, 1, 0])
    found = most_confident_mistakes(Predictions(labels, predicted, probability))
    assert found.tolist() == [1, 2, 3, 0]


def test_cross_entropy_of_even_odds_is_log_2() -> None:
    np.testing.assert_allclose(cross_entropy(np.zeros((3, 2)), LABELS), np.log(2))


def test_wilson_interval_of_the_textbook() -> None:
    # 8 of 10: (0.8 + 1.96²/20 ± 1.96·√(0.8·0.2/10 + 1.96²/400)) / (1 + 1.96²/10)
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(10, 10)[1] == pytest.approx(1)


def test_calibration_error_by_hand() -> None:
    # Bin (0, 0.5]: 0.4 and 0.5, one of two right: |0.45 - 0.5|; bin (0.5, 1]: 1.0 and wrong: 1.
    confidence = np.array([0.4, 0.5, 1.0])
    correct = np.array([True, False, False])
    assert calibration_error(confidence, correct, 2) == pytest.approx((2 * 0.05 + 1) / 3)
    assert calibration_error(confidence, correct, 1) == pytest.approx(abs(1.9 / 3 - 1 / 3))


def test_score_by_hand() -> None:
    metrics = score(PREDICTIONS, ("a", "b", "c"), loss=0.5, bins=1)
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["errors"] == 1
    assert metrics["loss"] == 0.5
    assert metrics["calibration_error"] == pytest.approx(abs(2.1 / 3 - 2 / 3))
    assert metrics["accuracy_per_class"] == [
        {"class": "a", "accuracy": 1.0},
        {"class": "b", "accuracy": 0.5},
    ]
    assert metrics["accuracy_interval"]["low"] < 2 / 3 < metrics["accuracy_interval"]["high"]
    assert agreement(PREDICTIONS, ("a", "b", "c")).items() <= metrics.items()

from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.typing import NDArray

from pipeline import figures
from pipeline.artifacts import png_bytes
from pipeline.records import Predictions

EPOCHS = {
    name: np.array([0.5, 0.7]) for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
}


def taken(counts: NDArray[np.intp]) -> Predictions:
    """Those that have these counts by actual (row) and predicted class (column)."""
    labels, predicted = np.repeat(np.argwhere(counts), counts[counts > 0], axis=0).T
    return Predictions(labels, predicted, np.ones(len(labels)))


def drawn() -> dict[str, Figure]:
    squares = np.zeros((3, 4, 4), np.uint8)
    two = taken(np.array([[5, 1], [0, 6]]))
    return {
        "curves": figures.curves(EPOCHS | {"epoch": np.array([1.0, 2.0])}),
        "one epoch": figures.curves({name: values[:1] for name, values in EPOCHS.items()}),
        "confusion": figures.confusion_matrix(two, ("0", "1")),
        "long names": figures.confusion_matrix(two, ("T-shirt/top", "Ankle boot")),
        "mistakes": figures.mistakes(squares, 1, list("abc"), list("cab"), [0.9, 0.8, 0.7]),
        "in colour": figures.mistakes(np.stack([squares] * 3, -1), 1, ["a"], ["b"], [0.9]),
        "no mistakes": figures.mistakes(squares[:0], 1, [], [], []),
    }


def test_the_same_picture_whatever_the_machine_prefers() -> None:
    pictures: list[dict[str, bytes]] = []
    for size in (10, 30):
        with mpl.rc_context({"font.size": size, "axes.facecolor": "red"}), figures.style():
            pictures.append({name: png_bytes(figure) for name, figure in drawn().items()})
    assert pictures[0] == pictures[1]
    for picture in pictures[0].values():
        assert imread(BytesIO(picture)).std() > 0
        assert b"Software" not in picture


@pytest.mark.parametrize(("row", "column"), [(0, 1), (1, 0)])
def test_a_count_stands_in_its_cell(row: int, column: int) -> None:
    counts = np.zeros((2, 2), int)
    counts[row, column] = 42
    with figures.style():
        axes = figures.confusion_matrix(taken(counts), ("a", "b")).axes[0]
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        ((column, row), "42")
    ]
    assert axes.get_title(loc="left") == "42 of 42 taken for another class (red)"


def test_the_share_of_each_class_that_was_right() -> None:
    counts = np.array([[1999, 1, 0], [0, 1500, 0], [0, 0, 0]])
    with figures.style():
        axes = figures.confusion_matrix(taken(counts), ("a", "b", "c")).axes[0]
    assert [text.get_text() for text in axes.texts] == ["1,999", "1", "1,500"]
    (rates,) = axes.child_axes
    assert [label.get_text() for label in rates.get_yticklabels()] == ["> 99.9%", "100%", ""]


def test_of_many_classes_those_with_the_most_mistakes() -> None:
    counts = np.diag(np.full(200, 10))
    counts[150, 7] = counts[3, 199] = 2
    with figures.style():
        axes = figures.confusion_matrix(taken(counts), tuple(map(str, range(200)))).axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert len(shown) == figures.MATRIX
    assert {"3", "7", "150", "199"} < set(shown)
    assert shown == sorted(shown, key=int)
    assert axes.get_title(loc="left") == (
        "4 of 2,004 taken for another class (red); the 30 of 200 classes with the most mistakes"
    )


def test_colours_are_drawn_as_they_are() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0], image[0, 1], image[1, 0] = (100, 0, 0), (0, 50, 0), (0, 0, 250)
    with figures.style():
        axes = figures.mistakes(image[np.newaxis], 100, ["a"], ["b"], [0.9]).axes[0]
    (drawn,) = axes.images
    expected = [[[1, 0, 0], [0, 0.5, 0]], [[0, 0, 1], [0, 0, 0]]]  # 100 is full intensity
    np.testing.assert_array_equal(drawn.get_array(), expected)


@pytest.mark.parametrize(
    ("share", "digits", "shown"),
    [
        (0.5, 2, "50.00%"),
        (0.99994, 2, "99.99%"),
        (0.99996, 2, "> 99.99%"),
        (1.0, 2, "> 99.99%"),
        (0.9994, 1, "99.9%"),
        (0.9996, 1, "> 99.9%"),
    ],
)
def test_a_share_is_not_rounded_up_to_all(share: float, digits: int, shown: str) -> None:
    assert figures.not_rounded_up(share, digits) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ankle boot", "Ankle boot"),
        ("0123456789abcdef", "0123456789abcdef"),
        ("number of a class 1", "number o…class 1"),
        ("$", "$"),
    ],
)
def test_a_long_name_loses_its_middle(name: str, shown: str) -> None:
    assert figures.shortened(name) == shown

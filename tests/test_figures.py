from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from pipeline import figures
from pipeline.artifacts import png_bytes

EPOCHS = {
    name: np.array([0.5, 0.7]) for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
}


def drawn() -> dict[str, Figure]:
    squares = np.zeros((3, 4, 4), np.uint8)
    return {
        "curves": figures.curves(EPOCHS | {"epoch": np.array([1.0, 2.0])}),
        "one epoch": figures.curves({name: values[:1] for name, values in EPOCHS.items()}),
        "confusion": figures.confusion_matrix(np.array([[5, 1], [0, 6]]), ("0", "1")),
        "long names": figures.confusion_matrix(np.eye(2, dtype=int), ("T-shirt/top", "Ankle boot")),
        "mistakes": figures.mistakes(squares, 1, list("abc"), list("cab"), [0.9, 0.8, 0.7]),
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
        axes = figures.confusion_matrix(counts, ("a", "b")).axes[0]
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [
        ((column, row), "42")
    ]
    assert axes.get_title(loc="left") == "42 of 42 taken for another class (red)"

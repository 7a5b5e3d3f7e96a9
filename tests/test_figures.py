from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from pipeline import figures
from pipeline.artifacts import write_png

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
        "mistakes": figures.worst_mistakes(squares, list("abc"), list("cab"), [0.9, 0.8, 0.7]),
        "no mistakes": figures.worst_mistakes(squares[:0], [], [], []),
    }


def test_the_same_picture_whatever_the_machine_prefers(tmp_path: Path) -> None:
    for folder, size in ((tmp_path / "first", 10), (tmp_path / "second", 30)):
        with mpl.rc_context({"font.size": size, "axes.facecolor": "red"}), figures.style():
            for name, figure in drawn().items():
                write_png(folder / f"{name}.png", figure)
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
        assert imread(path).std() > 0
        assert b"Software" not in path.read_bytes()


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

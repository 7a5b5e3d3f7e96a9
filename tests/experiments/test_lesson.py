import numpy as np
import pytest

from experiments import lesson, sets
from pipeline.errors import InputError


def test_a_row() -> None:
    histories = [
        {"accuracy": np.array([0.5, 0.6, 0.7]), "val_accuracy": np.array([0.1, 0.2, 0.5])},
        {"accuracy": np.array([0.6, 0.6, 0.7]), "val_accuracy": np.array([0.1, 0.2, 0.52])},
    ]
    assert lesson.row("lesson-16-neurons", 1234, histories) == (
        "| `lesson-16-neurons` | 1,234 | 55.00 ± 7.07 | 60.00 ± 0.00 | 70.00 ± 0.00 "
        "| 51.00 ± 1.41 |  |  | training 92, slowly 95 |"
    )


def test_the_table_takes_the_place_of_the_old_one() -> None:
    page = f"before\n{lesson.BEGIN}{lesson.END}after\n"
    once = lesson.embed(page, "| 1 |\n| 2 |")
    assert once == f"before\n{lesson.BEGIN}| 1 |\n| 2 |\n{lesson.END}after\n"
    assert lesson.embed(once, "| 3 |") == f"before\n{lesson.BEGIN}| 3 |\n{lesson.END}after\n"
    with pytest.raises(InputError, match="expected the markers"):
        lesson.embed("before\n", "")


def test_every_set_of_the_lesson_is_in_the_picture_and_the_page() -> None:
    names = [name for name in sets.load() if name.startswith(lesson.PREFIX)]
    assert lesson.SAYS.keys() <= set(names)
    history = {"accuracy": np.array([0.9, 0.95]), "val_accuracy": np.array([0.9, 0.91])}
    figure = lesson.curves({name: [history, history] for name in names})
    drawn = {line.get_label() for axes in figure.axes for line in axes.get_lines()}
    assert drawn == {name.removeprefix(lesson.PREFIX) for name in names}
    lesson.embed(lesson.PAGE.read_text(), "")

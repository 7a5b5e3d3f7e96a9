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
    members = [lesson.PREFIX + name for panel in lesson.PANELS.values() for name in panel]
    assert sorted(members) == sorted(names)
    lesson.embed(lesson.PAGE.read_text(), "")


def test_a_line_has_its_name_where_it_ends_and_one_below_the_picture_has_a_note() -> None:
    history = {"accuracy": np.array([0.9, 0.95]), "val_accuracy": np.array([0.9, 0.91])}
    low = {name: values - 0.5 for name, values in history.items()}
    names = [lesson.PREFIX + name for panel in lesson.PANELS.values() for name in panel]
    figure = lesson.curves({name: [history, history] for name in names} | {"lesson-sgd": [low]})
    colours: dict[str, set[str]] = {}
    for axes, members in zip(figure.axes, [*lesson.PANELS.values()] * 2, strict=True):
        drawn = {str(line.get_label()) for line in axes.get_lines()}
        assert drawn == {label for label, _ in members.values()} - {"SGD, rate 0.01"}
        notes = {text.get_text() for text in axes.texts} - drawn
        assert {note.split(",")[0] for note in notes} <= {"below the picture:\nSGD"}
        assert bool(notes) == ("sgd" in members)
        assert [*axes.get_xticks()] == [1, 2]
        for label, colour in members.values():
            colours.setdefault(colour, set()).add(label)
    assert [labels for labels in colours.values() if len(labels) > 1] == [
        {"128 neurons", "Adam, rate 0.001"}  # the same network, trained in the same way
    ]


@pytest.mark.parametrize(
    ("heights", "apart"),
    [
        ([1, 5], [1, 5]),
        ([1, 1], [0.5, 1.5]),
        ([1, 1, 1], [0, 1, 2]),
        ([0, 4, 4.5], [0, 3.75, 4.75]),
        ([], []),
    ],
)
def test_labels_are_moved_apart_as_little_as_possible(
    heights: list[float], apart: list[float]
) -> None:
    assert lesson.spread(np.array(heights), 1) == pytest.approx(apart)

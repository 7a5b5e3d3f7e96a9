"""Parquet, as Hugging Face's datasets have it."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InputError, IntegrityError
from tests.data.support import png, read, read_alone, write

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

SHADES = [png([[number]]) for number in range(8)]
CELLS = [{"bytes": content, "path": f"{number}.png"} for number, content in enumerate(SHADES)]
LABELS = [number % 2 for number in range(8)]


def table(columns: dict[str, Any], names: list[str] | None = None) -> bytes:
    """A Parquet file; Hugging Face's metadata call the labels `names`."""
    made = pa.table(columns)
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        about = json.dumps({"info": {"features": features}})
        made = made.replace_schema_metadata({"huggingface": about})
    content = BytesIO()
    parquet.write_table(made, content, row_group_size=3)
    return content.getvalue()


def test_with_class_names(tmp_path: Path) -> None:
    files = {
        "own/data/train-00000-of-00002.parquet": table(
            {"image": CELLS[:3], "label": LABELS[:3]}, ["dog", "cat"]
        ),
        "own/data/train-00001-of-00002.parquet": table(
            {"image": CELLS[3:6], "label": LABELS[3:6]}, ["dog", "cat"]
        ),
        "own/data/test-00000-of-00001.parquet": table(
            {"image": CELLS[6:], "label": LABELS[6:]}, ["dog", "cat"]
        ),
    }
    splits = read(write(tmp_path, files), validation="test")
    assert splits["train"].images.reshape(-1).tolist() == [0, 1, 2, 3, 4, 5]
    assert splits["train"].labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert splits["test"].images.reshape(-1).tolist() == [6, 7]
    assert splits["test"].class_names == ("dog", "cat")


COLUMNS: dict[str, tuple[dict[str, Any], str, tuple[str, ...]]] = {
    "numbers": ({"image": CELLS, "label": LABELS}, "{}", ("0", "1")),
    "text": ({"image": CELLS, "label": ["b", "a"] * 4}, "{}", ("b", "a")),
    "bytes alone": ({"img": SHADES, "fine_label": LABELS}, "{}", ("0", "1")),
    "others beside": ({"id": LABELS, "image": CELLS, "label": LABELS}, "{}", ("0", "1")),
    "named": ({"scan": CELLS, "kind": LABELS}, "image: scan\nlabel: kind", ("0", "1")),
    "class_names": ({"image": CELLS, "label": LABELS}, "class_names: [x, y]", ("x", "y")),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns(case: str, tmp_path: Path) -> None:
    columns, about, names = COLUMNS[case]
    write(tmp_path, {"own/all.parquet": table(columns), "own/dataset.yaml": f"{about}\n"})
    for split in read(tmp_path, test=2, validation=2).values():
        found = [split.class_names[label] for label in split.labels]
        assert found == [names[shade % 2] for shade in split.images.reshape(-1)]


def test_more_class_names_than_labels(tmp_path: Path) -> None:
    content = table({"image": CELLS, "label": LABELS}, ["a", "b", "c"])
    with pytest.raises(InputError, match="no image of class c, expected some of each of the 3"):
        read(write(tmp_path, {"own/train.parquet": content}))


REFUSED: dict[str, tuple[dict[str, Any], list[str], str, str]] = {
    "no label": ({"label": [0, 1, None, 0, 1, 0, 1, 0]}, [], "{}", "row 3: found no label"),
    "hidden labels": ({"label": [0, 1, 0, -1, 1, 0, 1, 0]}, [], "{}", "row 4: found no label"),
    "fractions": ({"label": [0.5] * 8}, [], "{}", "row 1: found the label 0.5, expected a whole"),
    "several labels": ({"label": [[0, 1]] * 8}, [], "{}", "row 1: found the label [0, 1], expec"),
    "beyond the names": (
        {"label": [0, 1, 2, 3] * 2},
        ["a", "b"],
        "{}",
        "none of its 2 class names",
    ),
    "no bytes": (
        {"image": [*CELLS[:7], {"bytes": None, "path": "x"}]},
        [],
        "{}",
        "row 8: found no",
    ),
    "no column": ({}, [], "label: kind", "columns image, label, expected one called kind; name it"),
    "broken": (
        {"image": [*SHADES[:6], b"", b"x"]},
        [],
        "{}",
        "\n  {own}: row 7: is empty\n  {own}: r",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    changes, names, about, message = REFUSED[case]
    content = table({"image": CELLS, "label": LABELS} | changes, names)
    write(tmp_path, {"own/train.parquet": content, "own/dataset.yaml": f"{about}\n"})
    with pytest.raises(InputError) as error:
        read(tmp_path)
    assert message.replace("{own}", f"{tmp_path}/own/train.parquet") in str(error.value)


WHOLE = table({"image": CELLS, "label": LABELS})


NOT_TEXT = table({"image": [{"bytes": SHADES[0], "path": "abcd"}], "label": ["abcd"]})
NOT_TEXT = NOT_TEXT.replace(b"abcd", b"\xff" * 4)


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", WHOLE[:-20], WHOLE[:100] + WHOLE[120:], NOT_TEXT]
)
def test_damaged(content: bytes, tmp_path: Path) -> None:
    write(tmp_path, {"own/train.parquet": content})
    with pytest.raises(IntegrityError) as error:
        read_alone(tmp_path)
    assert "train.parquet: is no Parquet file, or a damaged one (" in str(error.value)
    assert "\n" not in str(error.value)

"""Pictures in folders: which of them are the classes, and which the splits."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.split import Split
from pipeline.errors import InputError
from tests.data.support import png, read, write

BOTH = {"cat": ["0", "1", "2", "3"], "dog": ["4", "5", "6", "7"]}  # classes and their pictures


def shade(name: str) -> bytes:
    """A picture of one pixel, whose value is in its name."""
    return png([[int(name.rpartition("/")[2])]])


def make(folder: Path, names: Mapping[str, list[str]], about: str = "") -> Path:
    paths = [f"{where}/{name}" for where, names_here in names.items() for name in names_here]
    files: dict[str, bytes | str] = {f"own/{path}.png": shade(path) for path in paths}
    return write(folder, files | ({"own/dataset.yaml": about} if about else {}))


def content(split: Split) -> dict[str, list[int]]:
    """The values of the pictures of each class that has any."""
    names = np.array(split.class_names)[split.labels]
    return {
        str(name): sorted(split.images[names == name].reshape(-1).tolist())
        for name in np.unique(names)
    }


LAYOUTS = {
    "below a wrapper": {f"pets/{name}": pictures for name, pictures in BOTH.items()},
    "below two": {f"pets/images/{name}": pictures for name, pictures in BOTH.items()},
    "nested": {"cat": ["0"], "cat/old": ["1", "2"], "cat/old/er": ["3"], "dog/young": BOTH["dog"]},
}


@pytest.mark.parametrize("names", [BOTH, *LAYOUTS.values()], ids=["plain", *LAYOUTS])
def test_classes(names: Mapping[str, list[str]], tmp_path: Path) -> None:
    splits = read(make(tmp_path, names), test=2, validation=2)
    found = {name: content(split) for name, split in splits.items()}
    for name, value in (("cat", 0), ("dog", 4)):
        together = [picture for split in found.values() for picture in split[name]]
        assert sorted(together) == [value, value + 1, value + 2, value + 3]
        assert [len(split[name]) for split in found.values()] == [2, 1, 1]


def of(split: str, **names: list[str]) -> dict[str, list[str]]:
    return {f"{split}/{name}": pictures for name, pictures in names.items()}


@pytest.mark.parametrize("wrapper", ["", "pets/"])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "testing")])
def test_own_splits(train: str, test: str, wrapper: str, tmp_path: Path) -> None:
    names = {
        **of(f"{wrapper}{train}", cat=["0", "1"], dog=["2", "3"]),
        **of(f"{wrapper}val", cat=["4"], dog=["5"]),
        **of(f"{wrapper}{test}", cat=["6"], dog=["7"]),
    }
    splits = read(make(tmp_path, names))
    assert content(splits["train"]) == {"cat": [0, 1], "dog": [2, 3]}
    assert content(splits["validation"]) == {"cat": [4], "dog": [5]}
    assert content(splits["test"]) == {"cat": [6], "dog": [7]}


def test_a_validation_set_alone_is_no_test_set(tmp_path: Path) -> None:
    names = of("train", cat=["0", "1"], dog=["2", "3"]) | of("val", cat=["4"], dog=["5"])
    splits = read(make(tmp_path, names), test=2)
    assert content(splits["validation"]) == {"cat": [4], "dog": [5]}
    assert [len(pictures) for pictures in content(splits["test"]).values()] == [1, 1]


def test_pictures_without_labels_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = of("train", **BOTH) | {"test": ["8", "9"]}
    splits = read(make(tmp_path, names), test=2, validation=2)
    assert sum(len(split.labels) for split in splits.values()) == 8
    assert (
        f"{tmp_path}/own/test/8.png: is in no folder of a class, so 2 pictures are left out; make "
        f"predict classifies them" in capsys.readouterr().out
    )


def test_classes_that_are_called_like_splits(tmp_path: Path) -> None:
    names = {"test": BOTH["cat"], "validation": BOTH["dog"]}
    assert read(make(tmp_path, names), test=2, validation=2)["train"].class_names == (
        "test",
        "validation",
    )


def test_left_out(tmp_path: Path) -> None:
    names = BOTH | {"unsure": ["8", "9"]}
    splits = read(make(tmp_path, names, "leave_out: [unsure]\n"), test=2, validation=2)
    assert splits["train"].class_names == ("cat", "dog")
    assert sum(len(split.labels) for split in splits.values()) == 8


def test_numbers_are_in_their_order(tmp_path: Path) -> None:
    names = {"10": BOTH["cat"], "9": BOTH["dog"]}
    assert read(make(tmp_path, names), test=2, validation=2)["train"].class_names == ("9", "10")


def test_hidden_files_and_others_are_no_pictures(tmp_path: Path) -> None:
    folder = make(tmp_path, BOTH)
    others = ("README.md", ".hidden.png", ".git/1.png", "cat/Thumbs.db", "__MACOSX/cat/1.png")
    write(folder, {f"own/{name}": "hello" for name in others})
    assert len(read(folder, test=2, validation=2)["train"].labels) == 4


REFUSED = {
    "loose": (BOTH | {".": ["8"]}, "own/8.png: is in no folder of a class, expected each picture"),
    "loose in train": (of("train", **BOTH) | {"train": ["8"]}, "train/8.png: is in no folder of a"),
    "splits and classes": (
        of("train", **BOTH) | {"owl": ["8"], "test/cat": ["9"]},
        "found the folders test, train and also owl, expected the splits alone or the classes",
    ),
    "one class": ({"cat": ["0", "1"]}, "found one class alone, cat, expected at least 2"),
    "one class below two folders": ({"a/cat": ["0"], "a/cat/x": ["1"]}, "one class alone, cat"),
    "case": (BOTH | {"Cat": ["8"]}, "found the classes Cat and cat, which differ in case alone"),
    "Unicode": (
        {"\u00e9": BOTH["cat"], "e\u0301": BOTH["dog"]},
        "which differ in the form of their Unicode alone; rename or merge one",
    ),
    "a class for the test alone": (
        of("train", cat=["0", "1"]) | of("test", cat=["2"], dog=["3"]),
        "no training image of class dog, expected some of each of the 2 classes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    names, message = REFUSED[case]
    with pytest.raises(InputError) as error:
        read(make(tmp_path, names), validation="test")
    assert message in str(error.value)
    assert "\n" not in str(error.value)

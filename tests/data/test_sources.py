"""What is common to all formats: classes and their names, what is held out, several formats."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import InputError, IntegrityError
from tests.data.support import IDX_NAMES, idx_bytes, png, read, write, zipped

# Labels 0, 1, 2; the pixel of an image tells its label.
LABELS = np.arange(30, dtype=np.uint8) % 3


def dataset(folder: Path, about: str, labels: np.ndarray = LABELS) -> Path:
    images = labels.astype(np.uint8).reshape(-1, 1, 1) * 10
    return write(
        folder,
        {
            f"own/{IDX_NAMES[0]}": idx_bytes(images),
            f"own/{IDX_NAMES[1]}": idx_bytes(labels),
            "own/dataset.yaml": about,
        },
    )


NAMED = {
    "nothing": ("{}", ("0", "1", "2"), [0, 10, 20]),
    "a list": ("class_names: [a, b, c]", ("a", "b", "c"), [0, 10, 20]),
    "a mapping": ("class_names: {2: c, 1: b, 0: a}", ("c", "b", "a"), [20, 10, 0]),
    "labels as text": ('class_names: {"2": c, "1": b, "0": a}', ("c", "b", "a"), [20, 10, 0]),
    "numbers": ("class_names: [7, 8, 9]", ("7", "8", "9"), [0, 10, 20]),
    "any script": ("class_names: [ἄ, 猫, 🐱]", ("ἄ", "猫", "🐱"), [0, 10, 20]),
    "one left out": ("leave_out: [1]", ("0", "2"), [0, 20]),
    "one left out of a mapping": ("class_names: {0: a, 2: c}\nleave_out: [1]", ("a", "c"), [0, 20]),
}


@pytest.mark.parametrize("case", NAMED)
def test_class_names(case: str, tmp_path: Path) -> None:
    about, names, shades = NAMED[case]
    for split in read(dataset(tmp_path, f"{about}\n"), test=6, validation=6).values():
        assert split.class_names == names
        assert split.images.reshape(-1).tolist() == [shades[label] for label in split.labels]


WRONG = {
    "too few": ("class_names: [a, b]", "found the label '2', first at image 3, expected one of"),
    "too many": (
        "class_names: [a, b, c, d]",
        "no image of class d, expected some of each of the 4",
    ),
    "twice": ("class_names: [a, b, a]", "found the class name a more than once"),
    "in case alone": ("class_names: [a, b, A]", "found the classes a and A, which differ in case"),
    "one alone": ("leave_out: [1, 2]", "found one class alone, 0, expected at least 2"),
    "all left out": ("leave_out: [0, 1, 2]", "found one class alone"),
    "another format": ("format: npz", "train-images-idx3-ubyte: is no .npz file, or a damaged one"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_class_names(case: str, tmp_path: Path) -> None:
    about, message = WRONG[case]
    with pytest.raises((InputError, IntegrityError)) as error:
        read(dataset(tmp_path, f"{about}\n"), test=6, validation=6)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_more_classes_than_a_byte_can_count(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(300), 3)
    folder = write(
        tmp_path,
        {
            f"own/{IDX_NAMES[0]}": idx_bytes(np.zeros((900, 1, 1), np.uint8)),
            f"own/{IDX_NAMES[1]}": idx_bytes(labels),
        },
    )
    splits = read(folder, test=300, validation=300)
    for split in splits.values():
        assert split.labels.dtype == np.uint16
        assert sorted(split.labels.tolist()) == list(range(300))
        assert split.class_names == tuple(map(str, range(300)))


def test_what_is_held_out(tmp_path: Path) -> None:
    labels = np.repeat(np.array([0, 1], np.uint8), [30, 10])
    images = np.arange(40, dtype=np.uint8).reshape(-1, 1, 1)
    files = {IDX_NAMES[0]: idx_bytes(images), IDX_NAMES[1]: idx_bytes(labels)}
    folder = write(tmp_path, {f"own/{name}": content for name, content in files.items()})

    def held_out(seed: int) -> list[list[int]]:
        splits = read(folder, test=0.2, validation=0.25, seed=seed)
        for split, counts in (("test", [6, 2]), ("validation", [6, 2]), ("train", [18, 6])):
            assert np.bincount(splits[split].labels).tolist() == counts
        found = [split.images.reshape(-1).tolist() for split in splits.values()]
        assert sorted(chain.from_iterable(found)) == list(range(40))
        return found

    assert held_out(0) == held_out(0) != held_out(1)


def two_formats(folder: Path, about: str) -> Path:
    """IDX files and pictures; what the one calls 0 to 2 is cat or dog in the other."""
    files = {f"own/{name}/{number}.png": png([[1]]) for name in ("cat", "dog") for number in "1234"}
    return write(dataset(folder, about), files)


@pytest.mark.parametrize(("kind", "names"), [("folder", ("cat", "dog")), ("idx", ("0", "1", "2"))])
def test_one_of_several_formats(kind: str, names: tuple[str, ...], tmp_path: Path) -> None:
    splits = read(two_formats(tmp_path, f"format: {kind}\n"), test=3, validation=3)
    assert splits["train"].class_names == names


def test_several_formats(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(two_formats(tmp_path, "{}\n"))
    assert str(error.value) == (
        f"{tmp_path}/own: found data in several formats, such as cat/1.png, {IDX_NAMES[0]}; "
        f"expected one; say which in dataset.yaml, such as format: folder, or remove the others"
    )


def test_a_format_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="says format: npz, but no file is of it"):
        read(two_formats(tmp_path, "format: npz\n"))


def test_an_archive_in_an_archive(tmp_path: Path) -> None:
    write(tmp_path, {"own/a.zip": zipped({"b.zip": zipped({"cat/1.png": png([[1]])})})})
    with pytest.raises(InputError, match=r"found b.zip, expected files that can be read"):
        read(tmp_path)

import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.data import idx
from pipeline.errors import InputError, IntegrityError
from tests.data.support import IDX_NAMES, idx_bytes, write
from tests.data.support import read as stages

IMAGES = idx_bytes(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))  # a header of 16 bytes

BROKEN = {
    "empty": (b"", "starts with nothing"),
    "one byte": (b"\0", "starts with 00, expected an IDX file"),
    "magic": (b"\1" + IMAGES[1:], "starts with 01 00 08 03"),
    "little-endian magic": (IMAGES[3::-1] + IMAGES[4:], "starts with 03 08 00 00"),
    "type": (IMAGES[:2] + b"\x0a" + IMAGES[3:], "starts with 00 00 0a 03"),
    "cut in the header": (IMAGES[:9], "ends inside its header"),
    "header alone": (IMAGES[:16], "promises 12 bytes, a shape of (2, 2, 3), but 0 follow"),
    "truncated": (IMAGES[:-1], "promises 12 bytes, a shape of (2, 2, 3), but 11 follow"),
    "trailing byte": (IMAGES + b"\0", "promises 12 bytes, a shape of (2, 2, 3), but 13 follow"),
    "count too low": (IMAGES[:7] + b"\1" + IMAGES[8:], "promises 6 bytes, a shape of (1, 2, 3)"),
    "bomb": (IMAGES[:4] + b"\xff" * 12 + IMAGES[16:], "promises 79,228,162,458,924,105,385,300"),
    "no images": (IMAGES[:4] + b"\0" * 4 + IMAGES[8:16], "is empty, its shape is (0, 2, 3)"),
    "gzip": (b"\x1f\x8b\x08\x00" + IMAGES, "starts with 1f 8b 08 00"),
}


def read(path: Path) -> NDArray[np.generic]:
    return np.concatenate([*idx.stored(path, str(path)).rows(1)])


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str, tmp_path: Path) -> None:
    content, message = BROKEN[case]
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as error:
        idx.stored(path, str(path))
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [gzip.compress(IMAGES)[:-9], IMAGES, b"\x1f\x8b"])
def test_broken_archives(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"images.gz: "):
        read(path)


def test_an_archive_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(IMAGES[:-1]))
    with pytest.raises(IntegrityError, match=r"promises 2 rows of shape \(2, 3\), ends in row 2"):
        read(path)


def test_by_hand(tmp_path: Path) -> None:
    assert IMAGES[:16].hex(" ", 4) == "00000803 00000002 00000002 00000003"
    for name, content in (("images", IMAGES), ("images.gz", gzip.compress(IMAGES))):
        (tmp_path / name).write_bytes(content)
        assert read(tmp_path / name).tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


@pytest.mark.parametrize("code", idx.TYPES)
def test_every_type(code: int, tmp_path: Path) -> None:
    values = np.array([1, 2, 3], idx.TYPES[code])
    path = tmp_path / "labels"
    path.write_bytes(bytes([0, 0, code, 1, 0, 0, 0, 3]) + values.tobytes())
    assert read(path).tolist() == [1, 2, 3]


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4)))
def test_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, array: NDArray[np.uint8]
) -> None:
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(idx_bytes(array))
    np.testing.assert_array_equal(read(path), array)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("idx") / "labels"
    path.write_bytes(content)
    with contextlib.suppress(IntegrityError):
        read(path)


LABELS = np.array([0, 1, 0, 1], np.uint8)
PIXELS = np.arange(16, dtype=np.uint8).reshape(4, 2, 2)


def own(folder: Path, changes: dict[str, bytes] | None = None, about: str = "{}\n") -> Path:
    """Four training images and two test images, with changes."""
    usual = [idx_bytes(array) for array in (PIXELS, LABELS, PIXELS[:2], LABELS[:2])]
    files = dict(zip(IDX_NAMES, usual, strict=True)) | (changes or {})
    named: dict[str, bytes | str] = {f"own/{name}": content for name, content in files.items()}
    return write(folder, named | {"own/dataset.yaml": about})


SPELLINGS = {
    "gzip": "{split}-{kind}-idx{n}-ubyte.gz",
    "a dot": "{split}-{kind}.idx{n}-ubyte",  # as 7-Zip and file managers write it
    "EMNIST": "emnist-letters-{split}-{kind}-idx{n}-ubyte.gz",
    "a folder for each split": "{split}/{kind}-idx{n}-ubyte",
    "in a folder": "MNIST/raw/{split}-{kind}-idx{n}-ubyte",
    "short": "{split}_{kind}.idx",
}


@pytest.mark.parametrize("test", ["t10k", "test"])
@pytest.mark.parametrize("case", SPELLINGS)
def test_spellings(case: str, test: str, tmp_path: Path) -> None:
    arrays_of = {
        ("train", "images", 3): PIXELS,
        ("train", "labels", 1): LABELS,
        (test, "images", 3): PIXELS[:2],
        (test, "labels", 1): LABELS[:2],
    }
    for (split, kind, n), array in arrays_of.items():
        name = SPELLINGS[case].format(split=split, kind=kind, n=n)
        content = idx_bytes(array)
        write(tmp_path, {f"own/{name}": gzip.compress(content) if "gz" in name else content})
    splits = stages(tmp_path, validation="test")
    assert splits["train"].images.tolist() == PIXELS.tolist()
    assert splits["train"].labels.tolist() == LABELS.tolist()
    assert splits["test"].images.tolist() == PIXELS[:2].tolist()


def test_two_files_without_a_test_set(tmp_path: Path) -> None:
    files = {"own/images-idx3-ubyte": PIXELS, "own/labels-idx1-ubyte": LABELS}
    write(tmp_path, {name: idx_bytes(array) for name, array in files.items()})
    splits = stages(tmp_path, test=0.5, validation="test")
    assert [len(split.labels) for split in splits.values()] == [2, 2, 2]


def test_colour(tmp_path: Path) -> None:
    colour = np.stack([PIXELS, PIXELS, 255 - PIXELS], axis=-1)
    changes = {IDX_NAMES[0]: idx_bytes(colour), IDX_NAMES[2]: idx_bytes(colour[:2])}
    assert stages(own(tmp_path, changes), validation="test")["train"].images.tolist() == (
        colour.tolist()
    )


def test_transposed_as_in_emnist(tmp_path: Path) -> None:
    train = stages(own(tmp_path, about="transposed: true\n"), validation="test")["train"]
    assert train.images[1].tolist() == [[4, 6], [5, 7]]


def test_labels_of_four_bytes(tmp_path: Path) -> None:
    changes = {IDX_NAMES[1]: idx_bytes(LABELS.astype(int) * 300)}
    changes |= {IDX_NAMES[3]: idx_bytes(LABELS[:2].astype(int) * 300)}
    train = stages(own(tmp_path, changes), validation="test")["train"]
    assert train.class_names == ("0", "300")


# QMNIST has eight numbers for each image; the first is its class.
COLUMNS = np.stack([LABELS, *[np.arange(4)] * 7], axis=1).astype(np.int32)


def test_labels_in_a_column_as_in_qmnist(tmp_path: Path) -> None:
    folder = own(tmp_path, {"qmnist-train-labels-idx2-int": idx_bytes(COLUMNS)}, "label: 0\n")
    (folder / "own" / IDX_NAMES[1]).unlink()
    train = stages(folder, validation="test")["train"]
    assert train.labels.tolist() == LABELS.tolist()


BOTH = (LABELS, LABELS[:2])
REFUSED: dict[str, tuple[dict[str, bytes], str, str]] = {
    "columns": (
        {IDX_NAMES[1]: idx_bytes(COLUMNS)},
        "{}",
        "found labels of shape (4, 8), expected one for each image: the argmax of each row",
    ),
    "from 1": (
        {name: idx_bytes(array + 1) for name, array in zip(IDX_NAMES[1::2], BOTH, strict=True)},
        "class_names: [a, b]",
        "found the label '2', first at image 2, expected one of the 2 in class_names of ",
    ),
    "one class": (
        {name: idx_bytes(array * 0) for name, array in zip(IDX_NAMES[1::2], BOTH, strict=True)},
        "class_names: [a, b]",
        "no image of class b, expected some of each of the 2 classes",
    ),
    "two files of images": (
        {"train-images2-idx3-ubyte": idx_bytes(PIXELS)},
        "{}",
        "found 2 files of train images (train-images-idx3-ubyte, train-images2-idx3-ubyte), expec",
    ),
    "fractions": (
        {IDX_NAMES[0]: b"\0\0\x0d\3" + IMAGES[4:16] + bytes(48)},
        "{}",
        "found pixels of type >f4, expected whole numbers from 0 to 255; multiply those",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    changes, about, message = REFUSED[case]
    with pytest.raises(InputError) as error:
        stages(own(tmp_path, changes, f"{about}\n"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_header_that_promises_too_much(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(IMAGES[:4] + b"\xff" * 12 + IMAGES[16:]))
    with pytest.raises(
        IntegrityError, match=r"images.gz: promises rows of shape \(4294967295, 4294"
    ):
        read(path)

"""Arrays of numpy, as Keras and MedMNIST name them."""

import contextlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.data.split import Split
from pipeline.errors import InputError, PipelineError
from tests.data.support import read, read_alone, write, zipped

IMAGES = np.arange(32, dtype=np.uint8).reshape(8, 2, 2)  # the first pixel is 4 times the number
LABELS = np.arange(8) % 2
KERAS = {
    "x_train": IMAGES[:6],
    "y_train": LABELS[:6],
    "x_test": IMAGES[6:],
    "y_test": LABELS[6:],
}
MEDMNIST = {
    "train_images": IMAGES[:4],
    "train_labels": LABELS[:4, None],
    "val_images": IMAGES[4:6],
    "val_labels": LABELS[4:6, None],
    "test_images": IMAGES[6:],
    "test_labels": LABELS[6:, None],
}


def npz(named: dict[str, Any], *, compressed: bool = False) -> bytes:
    content = BytesIO()
    (np.savez_compressed if compressed else np.savez)(content, **named)
    return content.getvalue()


def own(folder: Path, named: dict[str, Any], about: str = "{}\n") -> Path:
    return write(folder, {"own/data.npz": npz(named), "own/dataset.yaml": about})


def check_keras(splits: dict[str, Split]) -> None:
    assert splits["train"].images.tolist() == IMAGES[:6].tolist()
    assert splits["train"].labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert splits["test"].images.tolist() == IMAGES[6:].tolist()
    assert splits["test"].class_names == ("0", "1")


@pytest.mark.parametrize("compressed", [False, True])
def test_keras(compressed: bool, tmp_path: Path) -> None:
    write(tmp_path, {"own/mnist.npz": npz(KERAS, compressed=compressed)})
    check_keras(read(tmp_path, validation="test"))


def test_medmnist(tmp_path: Path) -> None:
    splits = read(own(tmp_path, MEDMNIST, "class_names: [benign, malignant]\n"))
    for name, start, end in (("train", 0, 4), ("validation", 4, 6), ("test", 6, 8)):
        assert splits[name].images.tolist() == IMAGES[start:end].tolist()
        assert splits[name].labels.tolist() == LABELS[start:end].tolist()
        assert splits[name].class_names == ("benign", "malignant")


def test_a_file_for_each_split(tmp_path: Path) -> None:
    files = {
        "own/train.npz": npz({"images": IMAGES[:6], "labels": LABELS[:6]}),
        "own/my-test.npz": npz({"images": IMAGES[6:], "labels": LABELS[6:]}),
    }
    check_keras(read(write(tmp_path, files), validation="test"))


def test_a_file_for_each_array(tmp_path: Path) -> None:
    files = {
        f"own/kmnist-{split}-{name}.npz": npz({"arr_0": array})
        for split, name, array in (
            ("train", "imgs", IMAGES[:6]),
            ("train", "labels", LABELS[:6]),
            ("test", "imgs", IMAGES[6:]),
            ("test", "labels", LABELS[6:]),
        )
    }
    check_keras(read(write(tmp_path, files), validation="test"))


COLOUR = np.stack([IMAGES, IMAGES, 255 - IMAGES], -1)
ARRAYS: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
    "with an axis for grey": (IMAGES[..., None], IMAGES),
    "in colour": (COLOUR, COLOUR),
    "grey in three channels": (np.stack([IMAGES] * 3, -1), IMAGES),
    "of 64 bits": (IMAGES.astype(np.int64), IMAGES),
    "big-endian": (IMAGES.astype(">u2"), IMAGES),
    "of truth values": (IMAGES >= 16, IMAGES >= 16),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_images(case: str, tmp_path: Path) -> None:
    images, expected = ARRAYS[case]
    named = {"x_train": images, "y_train": LABELS, "x_test": images, "y_test": LABELS}
    found = read(own(tmp_path, named), validation="test")["train"].images
    np.testing.assert_array_equal(found, expected)


LABELLED: dict[str, tuple[NDArray[Any], str, tuple[str, ...]]] = {
    "text": (np.array(["dog", "cat"] * 4), "{}", ("dog", "cat")),
    "bytes": (np.array([b"caf\xc3\xa9", b"bar"] * 4), "{}", ("café", "bar")),
    "whole fractions": (np.array([3.0, 1.0] * 4), "{}", ("3", "1")),
    "truth values": (np.array([True, False] * 4), "{}", ("True", "False")),
    "negative": (np.array([-1, 1] * 4), "{}", ("-1", "1")),
    "the last of columns": (np.array([[7, 5], [7, 6]] * 4), "label: -1", ("5", "6")),
    "the first of columns": (np.array([[5, 7], [6, 7]] * 4), "label: 0", ("5", "6")),
    "one column": (np.array([[5], [6]] * 4), "{}", ("5", "6")),
}


@pytest.mark.parametrize("case", LABELLED)
def test_labels(case: str, tmp_path: Path) -> None:
    labels, about, names = LABELLED[case]
    named = {"x_train": IMAGES, "y_train": labels, "x_test": IMAGES, "y_test": labels}
    train = read(own(tmp_path, named, about), validation="test")["train"]
    assert [train.class_names[label] for label in train.labels[:2]] == list(names)


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


def pickles() -> NDArray[Any]:
    found = np.empty(8, object)
    found[:] = [Harm() for _ in range(8)]
    return found


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "fractions": ({"x_train": IMAGES / 255}, "{}", "x_train: found pixels of type float64, expec"),
    "256": (
        {"x_train": IMAGES.astype(int) + 250},
        "{}",
        "x_train: found the pixel 281, expected 0",
    ),
    "negative": (
        {"x_train": IMAGES.astype(int) - 9},
        "{}",
        "x_train: found the pixel -9, expected",
    ),
    "flat images": (
        {"x_train": IMAGES.reshape(8, 4)},
        "{}",
        "found an array of shape (8, 4), expe",
    ),
    "four channels": ({"x_train": np.zeros((8, 2, 2, 4), np.uint8)}, "{}", "of shape (8, 2, 2, 4)"),
    "a number": ({"x_train": np.uint8(5)}, "{}", "found an array of shape (), expected images"),
    "pickles": ({"y_train": pickles()}, "{}", "y_train: is a pickle, which is never loaded; store"),
    "columns first": (
        {"x_train": np.asfortranarray(IMAGES)},
        "{}",
        "x_train: is stored column by column; store it in C order",
    ),
    "several labels": ({"y_train": np.eye(8)}, "{}", "found labels of shape (8, 8), expected one"),
    "no such label": (
        {"y_train": np.eye(8)},
        "label: 8",
        "found 8 columns of labels, and label: 8",
    ),
    "half a label": ({"y_train": LABELS / 2}, "{}", "y_train: found the label 0.5 at position 1"),
    "times": (
        {"y_train": LABELS.astype("M8[s]")},
        "{}",
        "found labels of type datetime64[s], expe",
    ),
    "Latin-1": (
        {"y_train": np.array([b"\xe9"] * 8)},
        "{}",
        "y_train: found labels that are not UT",
    ),
    "no labels": ({"y_train": None}, "{}", "x_train: found no array of labels beside it, expected"),
    "no images": ({"x_train": None}, "{}", "y_train: found no array of images beside it, expected"),
    "other names": (
        {"x_train": None, "y_train": None},
        "{}",
        "found no array of images in the .np",
    ),
    "two of a kind": ({"train_images": IMAGES}, "{}", "is a second array of images beside "),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    changes, about, message = REFUSED[case]
    named = {"x_train": IMAGES, "y_train": LABELS, "other": LABELS} | changes
    with pytest.raises(InputError) as error:
        read(own(tmp_path, {name: one for name, one in named.items() if one is not None}, about))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert f"{tmp_path}/own" in str(error.value)


def of_eight_bytes(shape: tuple[int, ...]) -> bytes:
    """An .npy file that promises another shape."""
    content = BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + bytes(8)


DAMAGED = {
    "ends early": (of_eight_bytes((8, 2, 2)), "promises 8 rows of shape (2, 2), ends in row 3"),
    "has no pixel": (of_eight_bytes((8, 1, 0)), "found an array of shape (8, 1, 0), expected"),
    "is too long": (
        of_eight_bytes((8, 1, 1)) + b"x",
        "promises 8 rows of shape (1, 1), more follow",
    ),
    "is huge": (of_eight_bytes((8, 1 << 40, 1 << 40)), "promises rows of shape (1099511627776, "),
    "is no array": (b"hello", "x_train: is no array of numpy ("),
    "is empty": (b"", "x_train: is no array of numpy ("),
    "has fewer images": (
        of_eight_bytes((2, 2, 2)),
        "y_train: found 8 labels, expected one for each",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(case: str, tmp_path: Path) -> None:
    images, message = DAMAGED[case]
    labels = BytesIO()
    np.save(labels, LABELS)
    members = {"x_train.npy": images, "y_train.npy": labels.getvalue()}
    write(tmp_path, {"own/data.npz": zipped(members)})
    with pytest.raises(PipelineError) as error:
        read_alone(tmp_path)
    assert message in str(error.value)


DTYPES = ["u1", "i8", ">i4", "f4", "b1", "S2", "U2", "c8", "M8[s]"]
ANY_ARRAY = st.one_of(
    st.sampled_from(DTYPES).flatmap(
        lambda kind: arrays(np.dtype(kind), array_shapes(min_dims=0, max_dims=4, max_side=3))
    ),
    st.just(pickles()),
)


@given(ANY_ARRAY, ANY_ARRAY)
def test_any_arrays_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, images: NDArray[Any], labels: NDArray[Any]
) -> None:
    folder = own(tmp_path_factory.mktemp("npz"), {"x_train": images, "y_train": labels})
    with contextlib.suppress(PipelineError):
        read_alone(folder)


WHOLE = npz({"x_train": IMAGES, "y_train": LABELS}, compressed=True)


@given(st.integers(0, len(WHOLE)), st.binary(max_size=4), st.integers(0, 4))
def test_any_damage_is_told(
    tmp_path_factory: pytest.TempPathFactory, start: int, other: bytes, gone: int
) -> None:
    content = WHOLE[:start] + other + WHOLE[start + gone :]
    folder = write(tmp_path_factory.mktemp("npz"), {"own/data.npz": content})
    with contextlib.suppress(PipelineError):
        read_alone(folder)

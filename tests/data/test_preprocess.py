import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.datasets import find
from pipeline.errors import InputError, IntegrityError, PipelineError
from pipeline.preprocess import preprocess
from tests.data.support import IDX_NAMES, idx_bytes, png, read, section, write

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = IDX_NAMES

# Six training images of 1x2 pixels, two test images, two classes.
FILES = {
    TRAIN_IMAGES: np.arange(12, dtype=np.uint8).reshape(6, 1, 2),
    TRAIN_LABELS: np.array([0, 1, 0, 1, 0, 1], dtype=np.uint8),
    TEST_IMAGES: np.array([[[7, 7]], [[9, 9]]], dtype=np.uint8),
    TEST_LABELS: np.array([1, 0], dtype=np.uint8),
}
CLASSES = "class_names: [a, b]\n"


def dataset(folder: Path, changed: dict[str, bytes] | None = None) -> Path:
    files: dict[str, bytes | str] = {
        f"own/{name}": (changed or {}).get(name, idx_bytes(array)) for name, array in FILES.items()
    }
    return write(folder, files | {"own/dataset.yaml": CLASSES})


def test_handwriting_is_brought_into_mnists_form(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"own/dataset.yaml": "prepare: mnist\n"}
    for number in range(20):
        page = np.full((90 + number, 120, 3), (250, 240, 220), np.uint8)
        page[20:80, 30 + number : 40 + number] = (20, 20, 90)
        if number % 2:
            page[20:28, 30 + number : 70 + number] = (20, 20, 90)
        files[f"own/{'17'[number % 2]}/{number:02}.png"] = png(page)
    splits = read(write(tmp_path, files))
    train = splits["train"]
    assert (train.images.shape[1:], train.prepare) == ((28, 28), "mnist")
    rows = [np.flatnonzero(image.any(axis=1)) for image in train.images]
    assert {len(row) for row in rows} == {20}
    assert train.about["prepare"] == "mnist"


def test_pixels_are_mnists_already(tmp_path: Path) -> None:
    images = np.zeros((40, 28, 28), np.uint8)
    images[:, 5, 5:9] = range(10, 50, 10)
    content = BytesIO()
    np.savez(content, x_train=images, y_train=np.arange(40) % 2)
    folder = write(
        tmp_path, {"own/dataset.yaml": "prepare: mnist\n", "own/a.npz": content.getvalue()}
    )
    splits = read(folder)
    assert np.array_equal(splits["train"].images[0], images[0])


@pytest.mark.parametrize("validation", [2, 1 / 3])
def test_every_image_goes_to_one_split(validation: float, tmp_path: Path) -> None:
    splits = read(dataset(tmp_path), validation=validation)
    train, held_out = splits["train"], splits["validation"]
    assert sorted(held_out.labels) == [0, 1]
    assert sorted(train.labels) == [0, 0, 1, 1]
    together = np.concatenate([train.images, held_out.images])
    assert sorted(together[:, 0, 0]) == [0, 2, 4, 6, 8, 10]
    for split in (train, held_out):
        assert [image[0, 0] // 2 % 2 for image in split.images] == split.labels.tolist()
    assert splits["test"].images.tolist() == FILES[TEST_IMAGES].tolist()


def test_the_same_bytes_as_numpy_saves(tmp_path: Path) -> None:
    splits = read(dataset(tmp_path), validation="test")
    np.save(tmp_path / "images.npy", FILES[TRAIN_IMAGES])
    np.save(tmp_path / "labels.npy", FILES[TRAIN_LABELS])
    for name in ("images.npy", "labels.npy"):
        written = (tmp_path / ".processed/train" / name).read_bytes()
        assert written == (tmp_path / name).read_bytes()
    splits["train"].save(tmp_path / "again")
    for file in (tmp_path / "again").iterdir():
        assert file.read_bytes() == (tmp_path / ".processed/train" / file.name).read_bytes()


def test_validation_on_the_test_images(tmp_path: Path) -> None:
    splits = read(dataset(tmp_path), validation="test")
    assert len(splits["train"].labels) == 6
    for name in ("validation", "test"):
        assert splits[name].labels.tolist() == [1, 0]


def test_metrics_by_hand(tmp_path: Path) -> None:
    read(dataset(tmp_path), validation="test")
    metrics = json.loads((tmp_path / ".preprocess.json").read_text())
    assert metrics["images"]["train"] == {
        "total": 6,
        "per_class": [{"class": "a", "images": 3}, {"class": "b", "images": 3}],
    }
    assert metrics["shape"] == [1, 2]
    assert metrics["pixels"]["largest"] == 11
    assert metrics["pixels"]["mean"] == pytest.approx(5.5)  # of 0 to 11
    assert metrics["pixels"]["standard_deviation"] == pytest.approx((143 / 12) ** 0.5)
    assert metrics["duplicates"] == {"train_in_test": 0}


@pytest.mark.parametrize("duplicates", ["keep", "remove"])
def test_the_same_picture_in_two_splits(
    duplicates: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = FILES[TRAIN_IMAGES].copy()
    images[3] = FILES[TEST_IMAGES][1]
    folder = dataset(tmp_path, {TRAIN_IMAGES: idx_bytes(images)})
    splits = read(folder, validation="test", duplicates=duplicates)
    assert "the same picture in two splits: 1 train in test" in capsys.readouterr().out
    assert json.loads((tmp_path / ".preprocess.json").read_text())["duplicates"] == {
        "train_in_test": 1
    }
    kept = [0, 1, 2, 3, 4, 5] if duplicates == "keep" else [0, 1, 2, 4, 5]
    assert splits["train"].images.tolist() == images[kept].tolist()
    assert splits["train"].labels.tolist() == FILES[TRAIN_LABELS][kept].tolist()


REFUSED: dict[str, tuple[dict[str, bytes], Any, type[PipelineError], str]] = {
    "too few labels": (
        {TRAIN_LABELS: idx_bytes(np.zeros(5, np.uint8))},
        2,
        IntegrityError,
        "train-labels-idx1-ubyte: found 5 labels, expected one for each of 6 images",
    ),
    "unknown label": (
        {TEST_LABELS: idx_bytes(np.array([0, 2], np.uint8))},
        2,
        InputError,
        "found the label '2', first at image 2, expected one of the 2 in class_names",
    ),
    "labels from 1": (
        {
            TRAIN_LABELS: idx_bytes(np.array([1, 2, 1, 2, 1, 2], np.uint8)),
            TEST_LABELS: idx_bytes(np.array([1, 2], np.uint8)),
        },
        2,
        InputError,
        "they seem to count from 1, so name them by a mapping",
    ),
    "several columns of labels": (
        {TRAIN_LABELS: idx_bytes(np.zeros((6, 8), np.int32))},
        2,
        InputError,
        "train-labels-idx1-ubyte: found labels of shape (6, 8), expected one for each image",
    ),
    "one class alone": (
        {TRAIN_LABELS: idx_bytes(np.ones(6, np.uint8))},
        2,
        InputError,
        "no training image of class a, expected some of each of the 2",
    ),
    "images of two sizes": (
        {TEST_IMAGES: idx_bytes(np.zeros((2, 2, 2), np.uint8))},
        2,
        InputError,
        "found images of 2 sizes, 1x2 (6), 2x2 (2), height by width; set preprocess.size",
    ),
    "labels for images": (
        {TRAIN_IMAGES: idx_bytes(np.zeros(6, np.uint8))},
        2,
        InputError,
        "found 0 files of train images (none), expected one",
    ),
    "as many as there are": ({}, 6, InputError, "found 6, which is 6 of 6 images"),
    "more than there are": ({}, 5000, InputError, "found 5000, which is 5,000 of 6"),
    "less than one of each class": ({}, 1, InputError, "found 1, which is 1 of 6"),
    "a share of none": ({}, 0.01, InputError, "found 0.01, which is 0 of 6"),
    "none left of a class": ({}, 5, InputError, "found 5, which is 5 of 6"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    changed, validation, kind, message = REFUSED[case]
    with pytest.raises(kind) as error:
        read(dataset(tmp_path, changed), validation=validation)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"own", ".raw", ".download.json"}


@pytest.mark.parametrize(("right", "remedy"), [(True, "very files"), (False, "delete")])
def test_what_to_do_about_downloaded_files(right: bool, remedy: str, tmp_path: Path) -> None:
    content = {name: idx_bytes(array) for name, array in FILES.items()}
    content[TRAIN_LABELS] = idx_bytes(np.ones(6, np.uint8))
    raw = write(tmp_path / "raw", content)
    digests = {name: sha256(one if right else b"").hexdigest() for name, one in content.items()}
    files = [f"{{name: {name}, sha256: {digest}}}" for name, digest in digests.items()]
    description = f"{CLASSES}mirrors: [http://localhost]\nfiles: [{', '.join(files)}]\n"
    write(tmp_path, {"tiny/dataset.yaml": description})
    with pytest.raises(InputError) as error:
        preprocess(
            raw,
            find("tiny", sources=tmp_path),
            section(validation=2),
            processed=tmp_path / "processed",
            metrics=tmp_path / "metrics.json",
        )
    assert remedy in str(error.value)

import json
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from pipeline.data import datasets, idx
from pipeline.data.datasets import Dataset, File
from pipeline.data.split import Split
from pipeline.errors import InputError, IntegrityError, PipelineError
from pipeline.preprocess import preprocess

# Six training images of 1x2 pixels, two test images, two classes.
FILES = {
    datasets.TRAIN_IMAGES: np.arange(12, dtype=np.uint8).reshape(6, 1, 2),
    datasets.TRAIN_LABELS: np.array([0, 1, 0, 1, 0, 1], dtype=np.uint8),
    datasets.TEST_IMAGES: np.array([[[7, 7]], [[9, 9]]], dtype=np.uint8),
    datasets.TEST_LABELS: np.array([1, 0], dtype=np.uint8),
}

TINY = Dataset("tiny", ("a", "b"), (), (File("none", 0, ""),))


def run(
    folder: Path, changed: dict[str, bytes] | None = None, validation: float | Literal["test"] = 2
) -> Path:
    raw, processed = folder / "raw", folder / "processed"
    raw.mkdir()
    for name, array in FILES.items():
        (raw / name).write_bytes((changed or {}).get(name, idx.encode(array)))
    preprocess(
        raw,
        TINY,
        validation=validation,
        seed=0,
        processed=processed,
        metrics=folder / "metrics.json",
    )
    return processed


@pytest.mark.parametrize("validation", [2, 1 / 3])
def test_every_image_goes_to_one_split(validation: float, tmp_path: Path) -> None:
    processed = run(tmp_path, validation=validation)
    train, held_out = Split.load(processed / "train"), Split.load(processed / "validation")
    assert sorted(held_out.labels) == [0, 1]
    assert sorted(train.labels) == [0, 0, 1, 1]
    together = np.concatenate([train.images, held_out.images])
    assert sorted(together[:, 0, 0]) == [0, 2, 4, 6, 8, 10]
    for split in (train, held_out):
        assert [image[0, 0] // 2 % 2 for image in split.images] == split.labels.tolist()
    assert Split.load(processed / "test").images.tolist() == FILES[datasets.TEST_IMAGES].tolist()


def test_validation_on_the_test_images(tmp_path: Path) -> None:
    processed = run(tmp_path, validation="test")
    assert len(Split.load(processed / "train").labels) == 6
    for name in ("validation", "test"):
        assert Split.load(processed / name).labels.tolist() == [1, 0]


def test_metrics_by_hand(tmp_path: Path) -> None:
    run(tmp_path, validation="test")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["images"]["train"] == {
        "total": 6,
        "per_class": [{"class": "a", "images": 3}, {"class": "b", "images": 3}],
    }
    assert metrics["shape"] == [1, 2]
    assert metrics["pixels"]["largest"] == 11
    assert metrics["pixels"]["mean"] == pytest.approx(5.5)  # of 0 to 11
    assert metrics["pixels"]["standard_deviation"] == pytest.approx((143 / 12) ** 0.5)


REFUSED: dict[str, tuple[dict[str, bytes], float | Literal["test"], type[PipelineError], str]] = {
    "too few labels": (
        {datasets.TRAIN_LABELS: idx.encode(np.zeros(5, np.uint8))},
        2,
        IntegrityError,
        "train-labels-idx1-ubyte: 5 labels for 6 images",
    ),
    "too many labels": (
        {datasets.TEST_LABELS: idx.encode(np.zeros(3, np.uint8))},
        2,
        IntegrityError,
        "t10k-labels-idx1-ubyte: 3 labels for 2 images",
    ),
    "unknown label": (
        {datasets.TEST_LABELS: idx.encode(np.array([0, 2], np.uint8))},
        2,
        IntegrityError,
        "label 2 at position 1, expected 0 to 1, one for each of 2 class names; delete",
    ),
    "labels from 1": (
        {datasets.TRAIN_LABELS: idx.encode(np.array([1, 2, 1, 2, 1, 2], np.uint8))},
        2,
        IntegrityError,
        "of 2 class names; they seem to count from 1, so subtract 1 from each",
    ),
    "labels of four bytes": (
        {datasets.TRAIN_LABELS: bytes([0, 0, 12, 2, 0, 0, 0, 6, 0, 0, 0, 1]) + bytes(24)},
        2,
        IntegrityError,
        "starts with 00 00 0c 02, 32-bit integers in 2 dimensions, expected 00 00 08 01, an IDX",
    ),
    "colour": (
        {datasets.TEST_IMAGES: idx.encode(np.zeros((2, 1, 2, 3), np.uint8))},
        2,
        IntegrityError,
        "starts with 00 00 08 04, unsigned bytes in 4 dimensions, expected 00 00 08 03",
    ),
    "one class alone": (
        {datasets.TRAIN_LABELS: idx.encode(np.ones(6, np.uint8))},
        2,
        InputError,
        "train-labels-idx1-ubyte: no training image of class a, expected some of each of the 2",
    ),
    "images of two sizes": (
        {datasets.TEST_IMAGES: idx.encode(np.zeros((2, 2, 2), np.uint8))},
        2,
        IntegrityError,
        "training images are 1x2 pixels, test images are 2x2 pixels",
    ),
    "labels for images": (
        {datasets.TRAIN_IMAGES: idx.encode(np.zeros(6, np.uint8))},
        2,
        IntegrityError,
        "starts with 00 00 08 01, unsigned bytes in 1 dimension, expected 00 00 08 03",
    ),
    "as many as there are": ({}, 6, InputError, "found 6, which is 6 of 6 training images"),
    "more than there are": ({}, 5000, InputError, "found 5000, which is 5,000 of 6"),
    "less than one of each class": ({}, 1, InputError, "found 1, which is 1 of 6"),
    "a share of none": ({}, 0.01, InputError, "found 0.01, which is 0 of 6"),
    "none left of a class": ({}, 5, InputError, "found 5, which is 5 of 6"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    changed, validation, kind, message = REFUSED[case]
    with pytest.raises(kind) as error:
        run(tmp_path, changed, validation)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_the_very_files_of_a_dataset_are_not_fetched_again(tmp_path: Path) -> None:
    content = {name: idx.encode(array) for name, array in FILES.items()}
    content[datasets.TRAIN_LABELS] = idx.encode(np.ones(6, np.uint8))
    files = tuple(File(name, len(one), sha256(one).hexdigest()) for name, one in content.items())
    for name, one in content.items():
        (tmp_path / name).write_bytes(one)
    with pytest.raises(InputError) as error:
        preprocess(
            tmp_path,
            Dataset("tiny", ("a", "b"), (), files),
            validation=2,
            seed=0,
            processed=tmp_path / "processed",
            metrics=tmp_path / "metrics.json",
        )
    assert "these are the very files that the dataset tiny names, so its row" in str(error.value)
    assert "delete" not in str(error.value)

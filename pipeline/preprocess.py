"""Stage 2: data/raw decoded and split into training, validation and test images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline import paths
from pipeline.artifacts import json_bytes, replacing_folder, write_files
from pipeline.data import datasets, idx
from pipeline.data.datasets import Dataset, verified
from pipeline.data.split import Split, stratified
from pipeline.errors import InputError, IntegrityError, PipelineError
from pipeline.params import Params
from pipeline.program import run_stage

Examples = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, height, width), labels (N,)


def preprocess(
    raw: Path,
    dataset: Dataset,
    *,
    validation: float | Literal["test"],
    seed: int,
    processed: Path,
    metrics: Path,
) -> None:
    """Writes `processed`/train, /validation and /test, and describes them in `metrics`.

    Args:
        raw: the folder with the four IDX files.
        dataset: what they are, and what each label means.
        validation: how many training images to hold out, as a count or as a share below 1; or
            `test`: train on all of them and validate on the test images.
        seed: selects the held-out images.
        processed: the folder to write.
        metrics: the JSON file to write.

    Raises:
        InputError: a file is missing, a class has no training image, or `validation` leaves a class
            without one.
        IntegrityError: a file is not what its name says, or two do not belong together.
    """
    try:
        (images, labels), test = _read(raw, dataset.class_names)
    except PipelineError as error:
        raise type(error)(f"{error}; {_remedy(raw, dataset)}") from error
    if validation == "test":
        parts = {"train": (images, labels), "validation": test, "test": test}
    else:
        held_out = _hold_out(labels, validation, seed)
        parts = {
            "train": (images[~held_out], labels[~held_out]),
            "validation": (images[held_out], labels[held_out]),
            "test": test,
        }
    largest = int(parts["train"][0].max())
    splits = {name: Split(*part, dataset.class_names, largest) for name, part in parts.items()}
    with replacing_folder(processed) as folder:
        for name, split in splits.items():
            split.save(folder / name)
            print(f"{name}: {len(split.labels):,} images of {_size(split.images)}")
    write_files({metrics: json_bytes(_description(splits))})


def _read(raw: Path, class_names: tuple[str, ...]) -> tuple[Examples, Examples]:
    """The training and the test examples, which fit each other and the classes."""
    train = _decode(raw, datasets.TRAIN_IMAGES, datasets.TRAIN_LABELS, class_names)
    test = _decode(raw, datasets.TEST_IMAGES, datasets.TEST_LABELS, class_names)
    if train[0].shape[1:] != test[0].shape[1:]:
        raise IntegrityError(
            f"{raw}: training images are {_size(train[0])}, test images are {_size(test[0])}"
        )
    counts = np.bincount(train[1], minlength=len(class_names)).tolist()
    without = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if without:
        raise InputError(
            f"{raw / datasets.TRAIN_LABELS}: no training image of class {', '.join(without)}, "
            f"expected some of each of the {len(class_names)} classes"
        )
    return train, test


def _remedy(raw: Path, dataset: Dataset) -> str:
    """What to do about files that cannot be used, depending on whether they are the right ones."""
    if all(verified(raw / file.name, file) for file in dataset.files):
        return (
            f"these are the very files that the dataset {dataset.name} names, so its row in "
            f"pipeline/data/datasets.py or the files must change (pipeline.data.idx.encode makes "
            f"them)"
        )
    return f"delete {raw} and run dvc repro"


def _decode(raw: Path, images: str, labels: str, class_names: tuple[str, ...]) -> Examples:
    examples = idx.read(raw / images, idx.IMAGES), idx.read(raw / labels, idx.LABELS)
    if len(examples[0]) != len(examples[1]):
        raise IntegrityError(
            f"{raw / labels}: {len(examples[1]):,} labels for {len(examples[0]):,} images"
        )
    if examples[1].max() >= len(class_names):
        raise IntegrityError(
            f"{raw / labels}: label {examples[1].max()} at position {examples[1].argmax()}, "
            f"expected 0 to {len(class_names) - 1}, one for each of {len(class_names)} class names"
            f"{_hint(examples[1], len(class_names))}"
        )
    return examples


def _hint(labels: NDArray[np.uint8], classes: int) -> str:
    if labels.min() == 1 and labels.max() == classes:
        return "; they seem to count from 1, so subtract 1 from each"
    return ""


def _hold_out(labels: NDArray[np.uint8], validation: float, seed: int) -> NDArray[np.bool_]:
    """(N,) True for the examples that are held out for validation."""
    count = int(validation) if validation >= 1 else round(validation * len(labels))
    held_out = stratified(labels, count, seed) if count < len(labels) else None
    everywhere = np.unique(labels).tolist()
    if (
        held_out is None
        or np.unique(labels[held_out]).tolist() != everywhere
        or np.unique(labels[~held_out]).tolist() != everywhere
    ):
        raise InputError(
            f"params.yaml: preprocess.validation: found {validation}, which is {count:,} of "
            f"{len(labels):,} training images; expected a number that leaves images of every class "
            f"on both sides"
        )
    return held_out


def _size(images: NDArray[np.uint8]) -> str:
    return "x".join(map(str, images.shape[1:])) + " pixels"


def _description(splits: Mapping[str, Split]) -> dict[str, object]:
    """What metrics/preprocess.json says."""
    train = splits["train"]
    return {
        "images": {name: _counts(split) for name, split in splits.items()},
        "shape": list(train.images.shape[1:]),
        "pixels": _pixel_statistics(train.images) | {"largest": train.largest_pixel},
    }


def _counts(split: Split) -> dict[str, object]:
    counts = np.bincount(split.labels, minlength=len(split.class_names)).tolist()
    return {
        "total": len(split.labels),
        "per_class": [
            {"class": name, "images": count}
            for name, count in zip(split.class_names, counts, strict=True)
        ],
    }


def _pixel_statistics(images: NDArray[np.uint8]) -> dict[str, float]:
    """Mean and standard deviation over all pixels, from their histogram: exact sums."""
    levels = np.arange(256)
    counts = np.zeros(256, dtype=np.int64)
    for image in images:
        counts += np.bincount(image.reshape(-1), minlength=256)
    mean = (counts @ levels) / counts.sum()
    variance = (counts @ levels**2) / counts.sum() - mean**2
    return {"mean": float(mean), "standard_deviation": float(np.sqrt(variance))}


def main(params: Params) -> None:
    """Splits data/raw as params.yaml says."""
    preprocess(
        paths.RAW,
        datasets.find(params.dataset.name),
        validation=params.preprocess.validation,
        seed=params.preprocess.seed,
        processed=paths.PROCESSED,
        metrics=paths.PREPROCESS_METRICS,
    )


if __name__ == "__main__":
    run_stage("preprocess", __doc__, main, [paths.RAW])

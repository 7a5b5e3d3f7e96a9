"""Stage 2: data/raw decoded and split into training, validation and test images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline import paths
from pipeline.artifacts import json_bytes, replacing_folder, write_files
from pipeline.data import datasets, idx
from pipeline.data.split import Split, stratified
from pipeline.errors import InputError, IntegrityError, advising
from pipeline.params import Params
from pipeline.program import run_stage

Examples = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # images (N, height, width), labels (N,)


def preprocess(
    raw: Path,
    class_names: tuple[str, ...],
    *,
    validation: float | Literal["test"],
    seed: int,
    processed: Path,
    metrics: Path,
) -> None:
    """Writes `processed`/train, /validation and /test, and describes them in `metrics`.

    Args:
        raw: the folder with the four IDX files.
        class_names: what each label means.
        validation: how many training images to hold out, as a count or as a share below 1; or
            `test`: train on all of them and validate on the test images.
        seed: selects the held-out images.
        processed: the folder to write.
        metrics: the JSON file to write.

    Raises:
        InputError: a file is missing, or `validation` leaves a class without an image.
        IntegrityError: a file is not what its name says, or two do not belong together.
    """
    with advising(f"delete {raw} and run dvc repro"):
        images, labels = _decode(raw, datasets.TRAIN_IMAGES, datasets.TRAIN_LABELS, class_names)
        test = _decode(raw, datasets.TEST_IMAGES, datasets.TEST_LABELS, class_names)
        if images.shape[1:] != test[0].shape[1:]:
            raise IntegrityError(
                f"{raw}: training images are {_size(images)}, test images are {_size(test[0])}"
            )
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
    splits = {name: Split(*part, class_names, largest) for name, part in parts.items()}
    with replacing_folder(processed) as folder:
        for name, split in splits.items():
            split.save(folder / name)
            print(f"{name}: {len(split.labels):,} images of {_size(split.images)}")
    write_files({metrics: json_bytes(_description(splits))})


def _decode(raw: Path, images: str, labels: str, class_names: tuple[str, ...]) -> Examples:
    examples = idx.read(raw / images, idx.IMAGES), idx.read(raw / labels, idx.LABELS)
    if len(examples[0]) != len(examples[1]):
        raise IntegrityError(
            f"{raw / labels}: {len(examples[1]):,} labels for {len(examples[0]):,} images"
        )
    if examples[1].max() >= len(class_names):
        raise IntegrityError(
            f"{raw / labels}: label {examples[1].max()} at position {examples[1].argmax()}, "
            f"expected 0 to {len(class_names) - 1}"
        )
    return examples


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
        datasets.find(params.dataset.name).class_names,
        validation=params.preprocess.validation,
        seed=params.preprocess.seed,
        processed=paths.PROCESSED,
        metrics=paths.PREPROCESS_METRICS,
    )


if __name__ == "__main__":
    run_stage("preprocess", __doc__, main)

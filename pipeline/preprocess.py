"""Stage 2: data/raw decoded and divided into training, validation and test images."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipeline import datasets, idx, paths, stage
from pipeline.artifacts import replacing_folder, write_json
from pipeline.errors import InputError, IntegrityError
from pipeline.params import Params
from pipeline.split import Split, stratified


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
        seed: chooses the held-out images.
        processed: the folder to write to.
        metrics: the JSON file to write.

    Raises:
        InputError: a file is missing, or `validation` leaves a class without an image.
        IntegrityError: a file is not what its name says, or two do not belong together.
    """
    available = _decode(raw, datasets.TRAIN_IMAGES, datasets.TRAIN_LABELS, class_names)
    test = _decode(raw, datasets.TEST_IMAGES, datasets.TEST_LABELS, class_names)
    if available.images.shape[1:] != test.images.shape[1:]:
        raise IntegrityError(
            f"{raw}: training images are {_shape(available)}, test images {_shape(test)}; "
            f"delete {raw} and run dvc repro"
        )
    if validation == "test":
        splits = {"train": available, "validation": test, "test": test}
    else:
        held_out = _hold_out(available.labels, validation, seed)
        splits = {
            "train": available.take(np.flatnonzero(~held_out)),
            "validation": available.take(np.flatnonzero(held_out)),
            "test": test,
        }
    with replacing_folder(processed) as folder:
        for name, split in splits.items():
            split.save(folder / name)
            print(f"{name}: {len(split.labels):,} images of {_shape(split)}")
        write_json(
            metrics,
            {
                "images": {name: _counts(split) for name, split in splits.items()},
                "shape": list(available.images.shape[1:]),
                "pixels": _pixel_statistics(splits["train"].images),
            },
        )


def _decode(raw: Path, images: str, labels: str, class_names: tuple[str, ...]) -> Split:
    split = Split(
        idx.read(raw / images, idx.IMAGES), idx.read(raw / labels, idx.LABELS), class_names
    )
    if len(split.images) != len(split.labels):
        raise IntegrityError(
            f"{raw / labels}: {len(split.labels):,} labels for {len(split.images):,} images; "
            f"delete {raw} and run dvc repro"
        )
    if split.labels.max() >= len(class_names):
        raise IntegrityError(
            f"{raw / labels}: label {split.labels.max()} at position {split.labels.argmax()}, "
            f"expected 0 to {len(class_names) - 1}; delete {raw} and run dvc repro"
        )
    return split


def _hold_out(labels: NDArray[np.uint8], validation: float, seed: int) -> NDArray[np.bool_]:
    count = validation if validation >= 1 else round(validation * len(labels))
    held_out = stratified(labels, int(count), seed) if count < len(labels) else None
    everywhere = np.unique(labels).tolist()
    if (
        held_out is None
        or np.unique(labels[held_out]).tolist() != everywhere
        or np.unique(labels[~held_out]).tolist() != everywhere
    ):
        raise InputError(
            f"params.yaml: preprocess.validation: found {validation}, which is {count:,} of "
            f"{len(labels):,} training images; expected so many that every class keeps an image on "
            f"both sides"
        )
    return held_out


def _shape(split: Split) -> str:
    return "x".join(map(str, split.images.shape[1:])) + " pixels"


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
    """Divides data/raw as params.yaml says."""
    preprocess(
        paths.RAW,
        datasets.find(params.dataset.name).class_names,
        validation=params.preprocess.validation,
        seed=params.preprocess.seed,
        processed=paths.PROCESSED,
        metrics=paths.PREPROCESS_METRICS,
    )


if __name__ == "__main__":
    stage.run("preprocess", main)

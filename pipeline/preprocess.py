"""Stage 2: the images decoded, and split into training, validation and test images."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import paths
from pipeline.artifacts import json_bytes, remove, replacing_folder, write_files
from pipeline.data import files, sources, spread
from pipeline.data.datasets import Dataset, find, verified
from pipeline.data.handwriting import SIDE
from pipeline.data.pixels import Pixels, decode_into
from pipeline.data.prepare import Recipe
from pipeline.data.sources import LEFT_OUT, Labelled
from pipeline.data.split import SplitWriter, stratified
from pipeline.data.spread import LEVELS, Positions
from pipeline.data.store import LOCAL, RefusedError, reach
from pipeline.errors import InputError, NetworkError, PipelineError, listed
from pipeline.params import Params, Preprocess
from pipeline.program import run_stage


def preprocess(
    raw: Path, dataset: Dataset, params: Preprocess, *, processed: Path, metrics: Path
) -> None:
    """Writes `processed`/train, /validation and /test, and describes them in `metrics`.

    Args:
        raw: what the stage download made: the dataset's files, or a list of them.
        dataset: what is known of it.
        params: how to decode and split the images.
        processed: the folder to write.
        metrics: the JSON file to write.

    Raises:
        InputError: an image or a label cannot be used, or a class lacks images in a split.
        IntegrityError: a file is not what its name says, has changed, or two do not fit.
        NetworkError: the store cannot be reached.
    """
    recipe: Recipe = dataset.about.prepare or params.fit
    size, channels = params.size, params.channels
    if recipe == "mnist":
        size = SIDE if size == "common" else size
        channels = 1 if channels == "auto" else channels
    if params.store != LOCAL:
        reach(params.store)
    try:
        found = files.files_of(dataset.location, raw)
        labelled = sources.read(found, dataset)
        with replacing_folder(processed) as folder:
            scratch = folder / "pixels"
            pixels = decode_into(
                scratch if params.store == LOCAL else None,
                labelled,
                size=size,
                channels=channels,
                recipe=recipe,
                broken=params.broken,
            )
            pixels.tell_broken(sys.stdout)
            if labelled.format != "folder":  # whose pictures are checked one by one
                found.check()
            splits = _splits(labelled, pixels, params)
            duplicates = _duplicates(splits, pixels)
            if params.duplicates == "remove":
                splits["train"] = _without_duplicates(splits, pixels)
            description = _write(
                folder, labelled, pixels, splits, recipe=recipe, store=params.store
            )
            remove(scratch)
    except (NetworkError, RefusedError):  # which the store alone raises
        raise
    except PipelineError as error:
        raise type(error)(f"{error}{_remedy(raw, dataset)}") from error
    _tell(duplicates, params)
    write_files({metrics: json_bytes({**description, "duplicates": duplicates})})


def _remedy(raw: Path, dataset: Dataset) -> str:
    """What to do about downloaded files that cannot be used; the user's own data need their own."""
    if not dataset.mirrors:
        return ""
    if all(verified(raw / file.name, file) for file in dataset.files):
        return (
            f"; these are the very files that {dataset.description} names, so it or the files must "
            f"change"
        )
    return f"; delete {raw} and run dvc repro"


def _splits(labelled: Labelled, pixels: Pixels, params: Preprocess) -> dict[str, Positions]:
    """Which images are for training, for validation and for the test."""
    labels = labelled.all_labels
    usable = pixels.healthy & (labels != LEFT_OUT)
    _check_every_class(labels[usable], labelled, "image")
    own: dict[str, list[Positions]] = {"train": [], "validation": [], "test": [], "all": []}
    start = 0
    for part in labelled.parts:
        end = start + len(part.labels)
        own[part.split].append(start + np.flatnonzero(usable[start:end]))
        start = end
    nothing = np.empty(0, np.intp)
    train = np.concatenate([nothing, *own["all"], *own["train"]])
    test = np.concatenate([nothing, *own["test"]])
    validation = np.concatenate([nothing, *own["validation"]])
    if not len(test):
        train, test = _hold_out(train, labels, params.test, params.seed, "test")
        print(f"there are no test images, so preprocess.test holds out {len(test):,}")
    if params.validation == "test":
        validation = test
    elif not len(validation):
        train, validation = _hold_out(train, labels, params.validation, params.seed, "validation")
    return {"train": np.sort(train), "validation": validation, "test": test}


def _hold_out(
    positions: Positions, labels: NDArray[np.int64], share: float, seed: int, key: str
) -> tuple[Positions, Positions]:
    """The positions that remain, and those that are held out, a share of each class."""
    own = labels[positions]
    count = int(share) if share >= 1 else round(share * len(own))
    held_out = stratified(own, count, seed) if count < len(own) else None
    everywhere = np.unique(own).tolist()
    if (
        held_out is None
        or np.unique(own[held_out]).tolist() != everywhere
        or np.unique(own[~held_out]).tolist() != everywhere
    ):
        raise InputError(
            f"params.yaml: preprocess.{key}: found {share}, which is {count:,} of {len(own):,} "
            f"images; expected a number that leaves images of every class on both sides"
        )
    return positions[~held_out], positions[held_out]


def _duplicates(splits: dict[str, Positions], pixels: Pixels) -> dict[str, int]:
    """How many images of one split are in another, too, to the pixel."""
    pairs = [("train", "test")]
    if splits["validation"] is not splits["test"]:
        pairs += [("train", "validation"), ("validation", "test")]
    digests = {name: pixels.digests[positions] for name, positions in splits.items()}
    return {
        f"{one}_in_{other}": int(np.isin(digests[one], digests[other]).sum())
        for one, other in pairs
    }


def _without_duplicates(splits: dict[str, Positions], pixels: Pixels) -> Positions:
    """The training images that are in no other split."""
    train, others = splits["train"], np.concatenate([splits["validation"], splits["test"]])
    return train[~np.isin(pixels.digests[train], pixels.digests[others])]


def _tell(duplicates: dict[str, int], params: Preprocess) -> None:
    found = [f"{count:,} {name.replace('_', ' ')}" for name, count in duplicates.items() if count]
    if found:
        print(f"the same picture in two splits: {', '.join(found)}")
    if any(count and name.startswith("train") for name, count in duplicates.items()):
        removed = params.duplicates == "remove"
        print(
            "  those of training are left out"
            if removed
            else "  preprocess.duplicates: remove leaves out those of training"
        )


def _write(
    folder: Path,
    labelled: Labelled,
    pixels: Pixels,
    splits: dict[str, Positions],
    *,
    recipe: Recipe,
    store: str,
) -> dict[str, Any]:
    """Writes the splits, and returns what metrics/preprocess.json says of them."""
    names, labels = labelled.class_names, labelled.all_labels
    counts = {
        name: np.bincount(labels[positions], minlength=len(names)).tolist()
        for name, positions in splits.items()
    }
    _check_every_class(labels[splits["train"]], labelled, "training image")
    for name in ("validation", "test"):
        without = [names[index] for index, count in enumerate(counts[name]) if not count]
        if without:
            print(f"{name}: no image of class {listed(without)}")
    levels = np.zeros(LEVELS, np.int64)  # how many pixels of the training images have each value
    writers = {
        name: SplitWriter(folder / name, (len(positions), *pixels.shape), store)
        for name, positions in splits.items()
    }
    if pixels.spread and store != LOCAL:
        for made in spread.parts(store, labelled, pixels, splits):
            writers[made.split].append(made.part, made.digests)
            if made.split == "train":
                levels += made.levels
    else:
        for pieces in pixels.divided([*splits.values()]):
            for name, images in zip(splits, pieces, strict=True):
                writers[name].add(images)
                if name == "train":
                    levels += np.bincount(images.reshape(-1), minlength=LEVELS)
    largest = int(np.flatnonzero(levels).max())
    for name, positions in splits.items():
        writers[name].finish(labels[positions], names, largest, recipe)
        print(f"{name}: {len(positions):,} images of {_size(pixels.shape)}")
    return {
        "images": {name: _counts(of_class, names) for name, of_class in counts.items()},
        "shape": list(pixels.shape),
        "pixels": _pixel_statistics(levels) | {"largest": largest},
    }


def _check_every_class(labels: NDArray[np.int64], labelled: Labelled, what: str) -> None:
    names = labelled.class_names
    counts = np.bincount(labels, minlength=len(names)).tolist()
    without = [name for name, count in zip(names, counts, strict=True) if not count]
    if without:
        raise InputError(
            f"{labelled.parts[0].source}: no {what} of class {listed(without)}, expected some of "
            f"each of the {len(names)} classes"
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]} pixels{' in colour' if shape[2:] else ''}"


def _counts(counts: list[int], class_names: tuple[str, ...]) -> dict[str, object]:
    return {
        "total": sum(counts),
        "per_class": [
            {"class": name, "images": count}
            for name, count in zip(class_names, counts, strict=True)
        ],
    }


def _pixel_statistics(levels: NDArray[np.int64]) -> dict[str, float]:
    """Mean and standard deviation over all pixels, from their histogram: exact sums."""
    values = np.arange(LEVELS)
    mean = (levels @ values) / levels.sum()
    variance = (levels @ values**2) / levels.sum() - mean**2
    return {"mean": float(mean), "standard_deviation": float(np.sqrt(variance))}


def main(params: Params) -> None:
    """Decodes and splits the dataset as params.yaml says."""
    preprocess(
        paths.RAW,
        find(params.dataset.name),
        params.preprocess,
        processed=paths.PROCESSED,
        metrics=paths.PREPROCESS_METRICS,
    )


if __name__ == "__main__":
    run_stage("preprocess", __doc__, main, [paths.RAW])

"""Stage 2: the images decoded, and split into training, validation and test images."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import paths
from pipeline.artifacts import json_bytes, remove, replacing_folder, write_files
from pipeline.data import columns, files, sources, spread
from pipeline.data.datasets import Dataset, find, verified
from pipeline.data.digests import alike
from pipeline.data.handwriting import SIDE
from pipeline.data.pixels import BITS, LEVELS, Pixels, decode_into, levels_of
from pipeline.data.prepare import Recipe
from pipeline.data.sources import LEFT_OUT, Labelled
from pipeline.data.split import SplitWriter, stratified
from pipeline.data.store import LOCAL, RefusedError, reach
from pipeline.errors import InputError, NetworkError, PipelineError, listed
from pipeline.params import Params, Preprocess
from pipeline.program import run_stage

TRAIN, VALIDATION, TEST = BITS.values()

Labels = NDArray[np.integer[Any]]


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
            scratch = folder / "scratch"
            scratch.mkdir()
            pixels = decode_into(
                scratch,
                labelled,
                keep=params.store == LOCAL,
                size=size,
                channels=channels,
                recipe=recipe,
                broken=params.broken,
            )
            pixels.tell_broken(sys.stdout)
            splits = _splits(labelled, pixels, params)
            duplicates = _duplicates(splits, pixels, remove=params.duplicates == "remove")
            description = _write(
                folder, labelled, pixels, splits, recipe=recipe, store=params.store
            )
            if labelled.format != "folder":  # whose pictures are checked one by one
                found.check()
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


def _splits(labelled: Labelled, pixels: Pixels, params: Preprocess) -> NDArray[np.uint8]:
    """(N,) for each of all images the sum of the BITS of the splits that it is in."""
    labels = labelled.all_labels
    splits = np.zeros(len(labels), np.uint8)
    start = 0
    for part in labelled.parts:
        splits[start : start + len(part.labels)] = BITS.get(part.split, TRAIN)
        start += len(part.labels)
    splits[pixels.unread] = 0
    for piece in columns.pieces(len(labels)):
        splits[piece][labels[piece] == LEFT_OUT] = 0
    _check_every_class(_counts(splits, labelled, TRAIN | VALIDATION | TEST), labelled, "image")
    if not _counts(splits, labelled, TEST).any():
        count = _hold_out(splits, labelled, params.test, params.seed, "test")
        print(f"there are no test images, so preprocess.test holds out {count:,}")
    if params.validation == "test":
        splits &= TRAIN | TEST
        splits |= (splits & TEST) // TEST * VALIDATION
    elif not _counts(splits, labelled, VALIDATION).any():
        _hold_out(splits, labelled, params.validation, params.seed, "validation")
    return splits


def _hold_out(
    splits: NDArray[np.uint8], labelled: Labelled, share: float, seed: int, key: str
) -> int:
    """Moves a share of each class from the training images to the split `key`; returns how many."""
    own = _counts(splits, labelled, TRAIN)
    total = int(own.sum())
    count = int(share) if share >= 1 else round(share * total)

    def candidates() -> Iterator[Labels]:
        for piece in columns.pieces(len(splits)):
            yield np.where(splits[piece] == TRAIN, labelled.all_labels[piece], LEFT_OUT)

    held_out = stratified(candidates, count if count < total else 0, seed)
    of_class = columns.class_counts([labelled.all_labels[held_out]], len(own))
    if not ((of_class > 0) & (of_class < own))[own > 0].all():
        raise InputError(
            f"params.yaml: preprocess.{key}: found {share}, which is {count:,} of {total:,} "
            f"images; expected a number that leaves images of every class on both sides"
        )
    splits[held_out] = BITS[key]
    return count


def _labels(splits: NDArray[np.uint8], labelled: Labelled, bits: int) -> Iterator[Labels]:
    """The labels of the images in any of some splits, piece by piece."""
    for piece in columns.pieces(len(splits)):
        yield labelled.all_labels[piece][splits[piece] & bits > 0]


def _counts(splits: NDArray[np.uint8], labelled: Labelled, bits: int) -> NDArray[np.intp]:
    """(classes,) how many images of each are in any of some splits."""
    return columns.class_counts(_labels(splits, labelled, bits), len(labelled.class_names))


def _duplicates(splits: NDArray[np.uint8], pixels: Pixels, *, remove: bool) -> dict[str, int]:
    """How many images of one split are in another, too, to the pixel.

    Args:
        splits: (N,) the bits of each image's splits.
        pixels: of the images.
        remove: whether to take training images out of `splits` that are in another.
    """
    pairs = [("train", "test")]
    if not (splits == VALIDATION | TEST).any():
        pairs += [("train", "validation"), ("validation", "test")]
    found = {f"{one}_in_{other}": 0 for one, other in pairs}
    for positions, own, together in alike(pixels.digests, splits):
        for one, other in pairs:
            both = (own & BITS[one] > 0) & (together & BITS[other] > 0)
            found[f"{one}_in_{other}"] += int(np.count_nonzero(both))
        if remove:
            splits[positions[(own == TRAIN) & (together != TRAIN)]] = 0
    return found


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
    splits: NDArray[np.uint8],
    *,
    recipe: Recipe,
    store: str,
) -> dict[str, Any]:
    """Writes the splits, and returns what metrics/preprocess.json says of them."""
    names = labelled.class_names
    counts = {name: _counts(splits, labelled, bit) for name, bit in BITS.items()}
    _check_every_class(counts["train"], labelled, "training image")
    for name in ("validation", "test"):
        without = [names[index] for index in np.flatnonzero(counts[name] == 0)]
        if without:
            print(f"{name}: no image of class {listed(without)}")
    levels = np.zeros(LEVELS, np.int64)  # how many pixels of the training images have each value
    writers = {
        name: SplitWriter(folder / name, (int(of_class.sum()), *pixels.shape), store)
        for name, of_class in counts.items()
    }
    if pixels.spread and store != LOCAL:
        for made in spread.parts(store, labelled, pixels, splits):
            writers[made.split].append(made.part, made.digests)
            if made.split == "train":
                levels += made.levels
    else:
        for piece in pixels.divided(splits):
            for name, images in piece.items():
                writers[name].add(images)
            levels += levels_of(piece["train"])
    largest = int(np.flatnonzero(levels).max())
    for name, bit in BITS.items():
        writers[name].finish(_labels(splits, labelled, bit), names, largest, recipe)
        print(f"{name}: {counts[name].sum():,} images of {_size(pixels.shape)}")
    return {
        "images": {name: _described(of_class.tolist(), names) for name, of_class in counts.items()},
        "shape": list(pixels.shape),
        "pixels": _pixel_statistics(levels) | {"largest": largest},
    }


def _check_every_class(counts: NDArray[np.intp], labelled: Labelled, what: str) -> None:
    names = labelled.class_names
    without = [names[index] for index in np.flatnonzero(counts == 0)]
    if without:
        raise InputError(
            f"{labelled.parts[0].source}: no {what} of class {listed(without)}, expected some of "
            f"each of the {len(names)} classes"
        )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]} pixels{' in colour' if shape[2:] else ''}"


def _described(counts: list[int], class_names: tuple[str, ...]) -> dict[str, object]:
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

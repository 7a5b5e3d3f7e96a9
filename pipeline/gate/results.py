"""The predictions of a run, accepted only if its files agree with each other and with dvc.lock."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import paths
from pipeline.errors import InputError, IntegrityError, advising
from pipeline.lock import Lock, md5, read_lock
from pipeline.records import Predictions, read_json, read_predictions
from pipeline.repository import Source
from pipeline.score import METRICS, accuracy_per_class, agreement


@dataclass(frozen=True)
class Results:
    """What one model made of the test images."""

    dataset: dict[str, Any]  # its name and the digests of its files
    test: str  # the digest of the test images as the model receives them
    class_names: tuple[str, ...]
    predictions: Predictions

    @property
    def accuracy(self) -> float:
        """The share of the images that were classified correctly."""
        return self.value("accuracy")

    def value(self, metric: str) -> float:
        """A metric that `gate.metric` may name."""
        return METRICS[metric](self.predictions, len(self.class_names))

    @property
    def accuracy_per_class(self) -> NDArray[np.float64]:
        """The same for each class, (C,); NaN where it has no image."""
        return accuracy_per_class(self.predictions, len(self.class_names))


def load(source: Source) -> Results:
    """The results in `source`.

    Raises:
        InputError: a file is missing, damaged, edited, or contradicts another.
    """
    with advising(source.remedy):
        try:
            return _load(source)
        except InputError as error:
            raise InputError(f"{source.name}: {error}") from error


def _load(source: Source) -> Results:
    lock = read_lock(source.read)
    _check_order(lock)
    if str(paths.TEST) not in lock.outputs:
        raise InputError(f"{paths.LOCK}: does not say which test images there were")
    dataset = read_json(_recorded(source, lock, paths.DOWNLOAD_METRICS), "metrics/download.json")
    counts = _class_counts(_recorded(source, lock, paths.PREPROCESS_METRICS))
    predictions = read_predictions(
        _recorded(source, lock, paths.PREDICTIONS), str(paths.PREDICTIONS), tuple(counts)
    )
    images = np.bincount(predictions.labels, minlength=len(counts)).tolist()
    for (name, expected), found in zip(counts.items(), images, strict=True):
        if found != expected:
            raise InputError(
                f"{paths.PREDICTIONS}: found {found} images of class {name}, expected {expected} "
                f"as in {paths.PREPROCESS_METRICS}"
            )
    return Results(dataset, lock.outputs[str(paths.TEST)], tuple(counts), predictions)


def _check_order(lock: Lock) -> None:
    """Checks that every stage read the outputs that dvc.lock records, not earlier ones."""
    for stage in lock.stages.values():
        for dependency in stage["deps"]:
            path, digest = dependency["path"], dependency["md5"]
            if lock.outputs.get(path, digest) != digest:
                raise InputError(f"{paths.LOCK}: {path} was made again after a stage had read it")


def _recorded(source: Source, lock: Lock, path: Path) -> bytes:
    """The content of `path`, which must be what the run wrote."""
    content = source.read(path)
    if md5(content) != lock.outputs.get(str(path)):
        raise InputError(f"{path}: is not what the run wrote according to {paths.LOCK}")
    return content


def _class_counts(content: bytes) -> dict[str, int]:
    """The number of test images of each class, in the order of the classes."""
    metrics = read_json(content, str(paths.PREPROCESS_METRICS))
    try:
        return {row["class"]: row["images"] for row in metrics["images"]["test"]["per_class"]}
    except (LookupError, TypeError) as error:
        raise InputError(
            f"{paths.PREPROCESS_METRICS}: does not say how many test images of each class there are"
        ) from error


def check_metrics(source: Source) -> None:
    """Checks that metrics/evaluate.json follows from the predictions.

    Raises:
        InputError: the results are not whole.
        IntegrityError: a number does not follow.
    """
    here = load(source)
    metrics = read_json(source.read(paths.EVALUATE_METRICS), str(paths.EVALUATE_METRICS))
    for name, value in agreement(here.predictions, here.class_names).items():
        if not close(metrics.get(name), value):
            raise IntegrityError(
                f"{paths.EVALUATE_METRICS}: {name} is {json.dumps(metrics.get(name))}, but "
                f"{json.dumps(value)} by the predictions; {source.remedy}"
            )


def close(value: object, expected: object) -> bool:
    """Whether two JSON values are equal, but for the last digits of numbers."""
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and value.keys() == expected.keys()
            and all(close(value[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(map(close, value, expected))
        )
    if isinstance(expected, float):
        return type(value) in (int, float) and math.isclose(value, expected, rel_tol=1e-9)  # type: ignore[arg-type]
    return value == expected

"""What a run left in metrics/, read for comparison, and believed only where all of it agrees.

The numbers of metrics/evaluate.json are computed again from metrics/predictions.csv; both, and what
says which images they are about, must have the MD5 that dvc.lock holds.
"""

import csv
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline import paths
from pipeline.compare import accuracy_by_class
from pipeline.errors import InputError
from pipeline.params import parse
from pipeline.score import wilson_interval

COLUMNS = ["index", "actual", "predicted", "probability"]

Read = Callable[[Path], bytes]  # the content of a file; raises InputError where there is none


@dataclass(frozen=True)
class Results:
    """The predictions of one model. N images, C classes."""

    dataset: dict[str, Any]  # its name and the digests of its files
    test: str  # the digest of the test images as the model gets them
    class_names: tuple[str, ...]
    labels: NDArray[np.intp]  # (N,), each an index into class_names
    predicted: NDArray[np.intp]  # (N,) likewise
    probability: NDArray[np.float64]  # (N,) of the predicted class

    @property
    def accuracy(self) -> float:
        """The share of the images that were taken for what they are."""
        return float((self.labels == self.predicted).mean())

    @property
    def class_accuracy(self) -> NDArray[np.float64]:
        """The same for each class, (C,); NaN where it has no image."""
        return accuracy_by_class(self.labels, self.predicted, len(self.class_names))


def load(read: Read, where: str, remedy: str) -> Results:
    """The results that `read` gives, checked against each other and against dvc.lock.

    Args:
        read: gives the content of a file.
        where: whose results they are, for messages.
        remedy: what to do if they are not, for messages.

    Raises:
        InputError: a file is missing, damaged, edited, or contradicts another.
    """
    try:
        return _load(read)
    except InputError as error:
        raise InputError(f"{where}: {error}; {remedy}") from error


def _load(read: Read) -> Results:
    locked = _locked(read)
    content = {}
    for path in (
        paths.DOWNLOAD_METRICS,
        paths.PREPROCESS_METRICS,
        paths.EVALUATE_METRICS,
        paths.PREDICTIONS,
    ):
        content[path] = read(path)
        if digest(content[path]) != locked.get(str(path)):
            raise InputError(f"{path}: is not what {paths.LOCK} says the run wrote")
    if str(paths.TEST) not in locked:
        raise InputError(f"{paths.LOCK}: does not say which test images there were")
    counts = _class_counts(content[paths.PREPROCESS_METRICS])
    results = Results(
        parse_json(content[paths.DOWNLOAD_METRICS], paths.DOWNLOAD_METRICS),
        locked[str(paths.TEST)],
        tuple(counts),
        *_predictions(content[paths.PREDICTIONS], tuple(counts)),
    )
    found = np.bincount(results.labels, minlength=len(counts)).tolist()
    if found != list(counts.values()):
        raise InputError(
            f"{paths.PREDICTIONS}: {found} images by class, {paths.PREPROCESS_METRICS} has "
            f"{list(counts.values())}"
        )
    _check_metrics(parse_json(content[paths.EVALUATE_METRICS], paths.EVALUATE_METRICS), results)
    return results


def stages(read: Read) -> list[dict[str, Any]]:
    """The stages in dvc.lock: each with `deps` and `outs`, and `params` if it has any.

    Raises:
        InputError: dvc.lock is missing or damaged.
    """
    content = parse(read(paths.LOCK), str(paths.LOCK))
    try:
        found = list(content["stages"].values())  # type: ignore[index]
        for stage in found:
            for entry in (*stage["deps"], *stage["outs"]):
                entry["path"], entry["md5"]
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{paths.LOCK}: is damaged, near {_line(error)}") from error
    return found


def outputs(found: list[dict[str, Any]]) -> dict[str, str]:
    """The MD5 of every output of these `stages`; that of a folder ends in `.dir`."""
    return {out["path"]: out["md5"] for stage in found for out in stage["outs"]}


def digest(content: bytes) -> str:
    """What dvc.lock calls `md5` of a file."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _locked(read: Read) -> dict[str, str]:
    """The MD5 of every output in dvc.lock, if what reads an output read that one."""
    found = stages(read)
    locked = outputs(found)
    for stage in found:
        for dependency in stage["deps"]:
            path, md5 = dependency["path"], dependency["md5"]
            if locked.get(path, md5) != md5:
                raise InputError(f"{paths.LOCK}: {path} was made anew after a stage had read it")
    return locked


def _class_counts(content: bytes) -> dict[str, int]:
    """The classes in their order, and how many test images of each there are."""
    metrics = parse_json(content, paths.PREPROCESS_METRICS)
    try:
        return {row["class"]: row["images"] for row in metrics["images"]["test"]["per_class"]}
    except (LookupError, TypeError) as error:
        raise InputError(
            f"{paths.PREPROCESS_METRICS}: does not say how many test images of each class there are"
        ) from error


def _predictions(
    content: bytes, class_names: tuple[str, ...]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Labels, predicted classes and probabilities, (N,) each, every image once and in order."""
    number = 0
    index_of = {name: index for index, name in enumerate(class_names)}
    labels, predicted, probability = [], [], []
    try:
        rows = csv.reader(StringIO(content.decode(), newline=""), strict=True)
        header = next(rows, [])
        if header != COLUMNS:
            _wrong(0, f"columns {','.join(header) or 'none'}", ",".join(COLUMNS))
        for number, row in enumerate(rows):
            index, actual, taken_for, sure = row
            if index != str(number):
                _wrong(number + 1, f"index {index}", f"{number}, every image once and in order")
            for name in (actual, taken_for):
                if name not in index_of:
                    _wrong(number + 1, f"class {name!r}", f"one of {', '.join(class_names)}")
            if not 0 <= float(sure) <= 1:  # neither is NaN
                _wrong(number + 1, f"probability {sure}", "0 to 1")
            labels.append(index_of[actual])
            predicted.append(index_of[taken_for])
            probability.append(float(sure))
    except (csv.Error, ValueError) as error:
        raise InputError(f"{paths.PREDICTIONS}: after row {number}: {_line(error)}") from error
    if not labels:
        _wrong(1, "nothing", "a row for each test image")
    return np.array(labels), np.array(predicted), np.array(probability)


def _wrong(row: int, found: str, expected: str) -> NoReturn:
    raise InputError(f"{paths.PREDICTIONS}: row {row}: found {found}, expected {expected}")


def _check_metrics(metrics: dict[str, Any], results: Results) -> None:
    """Computes metrics/evaluate.json again, as far as the predictions say it."""
    right, total = int((results.labels == results.predicted).sum()), len(results.labels)
    low, high = wilson_interval(right, total)
    expected: dict[str, Any] = {
        "accuracy": results.accuracy,
        "errors": total - right,
        "accuracy_interval": {"low": low, "high": high},
        "accuracy_per_class": [
            {"class": name, "accuracy": float(accuracy)}
            for name, accuracy in zip(results.class_names, results.class_accuracy, strict=True)
            if not np.isnan(accuracy)
        ],
    }
    for name, value in expected.items():
        if not close(metrics.get(name), value):
            raise InputError(
                f"{paths.EVALUATE_METRICS}: {name} is {json.dumps(metrics.get(name))}, the "
                f"predictions make it {json.dumps(value)}"
            )


def close(found: object, expected: object) -> bool:
    """Equal, numbers but for the last digits, whose rounding a library may change."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(close(found[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(map(close, found, expected))
        )
    if isinstance(expected, float):
        return type(found) in (int, float) and math.isclose(found, expected, rel_tol=1e-9)  # type: ignore[arg-type]
    return found == expected


def parse_json(content: bytes, path: Path) -> dict[str, Any]:
    """An object whose numbers are all finite."""

    def number(text: str) -> float:
        if not math.isfinite(float(text)):
            raise InputError(f"{path}: holds {text}, which is no number")
        return float(text)

    try:
        found = json.loads(content, parse_constant=number, parse_float=number)
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({_line(error)})") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: holds no object")
    return found


def _line(error: BaseException) -> str:
    return " ".join(f"{error}".split())

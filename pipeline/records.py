"""What the files of a run contain: the columns of its tables, and strict readers of each format."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from pipeline.artifacts import csv_bytes
from pipeline.errors import InputError, listed

HISTORY_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")
PREDICTION_COLUMNS = ("index", "actual", "predicted", "probability")


@dataclass(frozen=True)
class Predictions:
    """What a model made of N labelled images."""

    labels: NDArray[np.intp]  # (N,) the true classes, indices into the class names
    predicted: NDArray[np.intp]  # (N,) the classes that the model chose
    probability: NDArray[np.float64]  # (N,) the probability that it gave each of those

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(N,) whether the model chose the true class."""
        return np.equal(self.labels, self.predicted)


def read_file(path: Path) -> bytes:
    """The content of `path`.

    Raises:
        InputError: it cannot be read, or it is a pipe or a device, which may never end.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path}: cannot be read (it is not a regular file)")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def history_bytes(history: Mapping[str, Sequence[float]]) -> bytes:
    """history.csv: a row for each epoch, counted from 1.

    Args:
        history: `loss`, `accuracy`, `val_loss` and `val_accuracy`, a value for each epoch.
    """
    values = [history[name] for name in HISTORY_COLUMNS[1:]]
    epochs = range(1, len(values[0]) + 1)
    return csv_bytes(HISTORY_COLUMNS, zip(epochs, *values, strict=True))


def read_history(content: bytes, source: str) -> dict[str, NDArray[np.float64]]:
    """The columns of history.csv by name, (epochs,) each.

    Args:
        content: the file.
        source: its name, for messages.

    Raises:
        InputError: it is not such a file.
    """
    rows = _rows(content, source, HISTORY_COLUMNS)
    try:
        table = np.array(rows, dtype=np.float64)  # (epochs, columns)
    except ValueError as error:
        raise InputError(f"{source}: is damaged ({one_line(error)})") from error
    if not len(table):
        raise InputError(f"{source}: found no epoch")
    return dict(zip(HISTORY_COLUMNS, table.T, strict=True))


def predictions_bytes(predictions: Predictions, class_names: Sequence[str]) -> bytes:
    """predictions.csv: a row for each image, in order, with the names of its classes."""
    names = np.array(class_names)
    columns = (
        names[predictions.labels],
        names[predictions.predicted],
        (f"{probability:.6f}" for probability in predictions.probability),
    )
    return csv_bytes(PREDICTION_COLUMNS, zip(range(len(predictions.labels)), *columns, strict=True))


def read_predictions(content: bytes, source: str, class_names: Sequence[str]) -> Predictions:
    """The rows of predictions.csv, which must have every image once and in order.

    Args:
        content: the file.
        source: its name, for messages.
        class_names: what the classes are called, in the order of their indices.

    Raises:
        InputError: it is not such a file.
    """
    index_of = {name: index for index, name in enumerate(class_names)}
    labels, predicted, probability = [], [], []
    for number, (index, *classes, text) in enumerate(_rows(content, source, PREDICTION_COLUMNS)):
        row = f"{source}: row {number + 1}"
        if index != str(number):
            _unexpected(row, f"index {index}", f"{number}, every image once and in order")
        for name in classes:
            if name not in index_of:
                _unexpected(row, f"class {name!r}", f"one of {listed(class_names)}")
        if not 0 <= _number(text) <= 1:  # NaN is neither
            _unexpected(row, f"probability {text}", "0 to 1")
        labels.append(index_of[classes[0]])
        predicted.append(index_of[classes[1]])
        probability.append(float(text))
    if not labels:
        _unexpected(source, "no row", "a row for each test image")
    return Predictions(np.array(labels), np.array(predicted), np.array(probability))


def read_yaml(content: bytes, source: str) -> object:
    """What a YAML 1.2 file says, as DVC reads it: by the same library with the same settings.

    Two readers would disagree: `042` is 42 in YAML 1.2 but 34 in YAML 1.1.

    Args:
        content: the file.
        source: its name, for messages.

    Raises:
        InputError: it is not YAML.
    """
    try:
        return YAML(typ="safe").load(content.decode())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{source}: is not YAML: {line}{error.problem}") from error
    except Exception as error:  # whatever its constructors raise, such as ValueError for !!int x
        raise InputError(f"{source}: is not YAML: {one_line(error)}") from error


def read_json(content: bytes, source: str) -> dict[str, Any]:
    """A JSON object whose numbers are all finite.

    Args:
        content: the file.
        source: its name, for messages.

    Raises:
        InputError: it is not such a file.
    """

    def finite(text: str) -> float:
        if not math.isfinite(float(text)):
            raise InputError(f"{source}: found {text}, expected finite numbers")
        return float(text)

    try:
        value = json.loads(content, parse_constant=finite, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: is not JSON ({one_line(error)})") from error
    if not isinstance(value, dict):
        _unexpected(source, f"a {type(value).__name__}", "an object")
    return value


def flat(content: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """The values of nested mappings by their keys, joined by dots, without lists of mappings."""
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from flat(value, f"{prefix}.{key}".lstrip("."))
    elif not (isinstance(content, list) and any(isinstance(item, dict) for item in content)):
        yield prefix, content


def one_line(error: BaseException) -> str:
    """The message of `error` without line breaks."""
    return " ".join(f"{error}".split())


def _rows(content: bytes, source: str, columns: Sequence[str]) -> list[list[str]]:
    """The rows of a CSV file below its header, each with a value for every column."""
    try:
        reader = csv.reader(StringIO(content.decode(), newline=""), strict=True)
        header, *rows = [*reader] or [[]]
    except (csv.Error, ValueError) as error:
        raise InputError(f"{source}: is not CSV ({one_line(error)})") from error
    if header != list(columns):
        _unexpected(source, f"columns {','.join(header) or 'none'}", ",".join(columns))
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            _unexpected(f"{source}: row {number}", f"{len(row)} values", f"{len(columns)}")
    return rows


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _unexpected(where: str, found: str, expected: str) -> NoReturn:
    raise InputError(f"{where}: found {found}, expected {expected}")

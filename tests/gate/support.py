"""Results of models that err where they are told, as the files of a run."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pipeline import paths
from pipeline.artifacts import json_bytes
from pipeline.errors import InputError
from pipeline.lock import md5
from pipeline.records import Predictions, predictions_bytes
from pipeline.repository import Source

CLASSES = tuple("0123456789")
LABELS = np.random.Generator(np.random.Philox(key=0)).integers(0, 10, 2_000)
BETTER, BASELINE, EQUAL, WORSE = range(20), range(30), range(1, 31), range(60)  # who is misjudged

LIMITS = {
    "metric": "accuracy",
    "floor": 0.975,
    "class_floors": {},
    "margin": 0.005,
    "confidence": 0.95,
}
STAGES = {name: {"cmd": "x"} for name in ("download", "preprocess", "train", "evaluate")}
PARAMS = yaml.safe_dump({"train": {"epochs": 10}, "gate": LIMITS}).encode()

Files = dict[Path, bytes]
Change = Callable[[Files], None]


def predictions(
    wrong: Iterable[int], labels: NDArray[np.intp] = LABELS, classes: int = len(CLASSES)
) -> Predictions:
    """Those of a model that takes the images in `wrong` for the next class."""
    predicted = labels.copy()
    predicted[[*wrong]] = (predicted[[*wrong]] + 1) % classes
    return Predictions(labels, predicted, np.full(len(labels), 0.94313))


def run(
    wrong: Iterable[int],
    labels: NDArray[np.intp] = LABELS,
    class_names: tuple[str, ...] = CLASSES,
) -> Files:
    """The files of a run whose model takes the images in `wrong` for the next class."""
    counts = np.bincount(labels, minlength=len(class_names)).tolist()
    per_class = [{"class": name, "images": n} for name, n in zip(class_names, counts, strict=True)]
    found = predictions(wrong, labels, len(class_names))
    files = {
        paths.DOWNLOAD_METRICS: json_bytes(
            {"dataset": "mnist", "files": [{"name": "images", "sha256": "0"}]}
        ),
        paths.PREPROCESS_METRICS: json_bytes({"images": {"test": {"per_class": per_class}}}),
        paths.PREDICTIONS: predictions_bytes(found, class_names),
        paths.PARAMS: PARAMS,
        paths.PIPELINE: yaml.safe_dump({"stages": STAGES}).encode(),
    }
    lock(files)
    return files


def lock(
    files: Files, *, test: str = "1" * 32, model: str = "2" * 32, read: str | None = None
) -> None:
    """Writes the dvc.lock of these `files`.

    Args:
        files: of a run.
        test: the digest of the test images.
        model: the digest of the model.
        read: the digest of the model that evaluate read, the same if None.
    """

    def out(path: Path) -> dict[str, str]:
        return {"path": str(path), "md5": md5(files.get(path, b""))}

    stages: dict[str, Any] = {
        "download": {"cmd": "x", "deps": [], "outs": [out(paths.DOWNLOAD_METRICS)]},
        "preprocess": {
            "cmd": "x",
            "deps": [],
            "outs": [out(paths.PREPROCESS_METRICS), {"path": str(paths.TEST), "md5": test}],
        },
        "train": {"cmd": "x", "deps": [], "outs": [{"path": str(paths.MODEL), "md5": model}]},
        "evaluate": {
            "cmd": "x",
            "deps": [{"path": str(paths.MODEL), "md5": read or model}],
            "outs": [out(paths.PREDICTIONS)],
        },
    }
    files[paths.LOCK] = yaml.safe_dump({"schema": "2.0", "stages": stages}).encode()


def source(files: Files, name: str = "here") -> Source:
    """Where `files` are read from."""

    def read(path: Path) -> bytes:
        if path not in files:
            raise InputError(f"{path}: no such file")
        return files[path]

    return Source(name, "do something", read)


def replaced(path: Path, content: bytes, *, forge: bool = True) -> Change:
    """Writes `content` to `path`, and has dvc.lock agree if `forge`."""

    def change(files: Files) -> None:
        files[path] = content
        if forge:
            lock(files)

    return change


def edited(path: Path, old: str, new: str, *, forge: bool = True) -> Change:
    """Replaces the first `old` in `path`, and has dvc.lock agree if `forge`."""

    def change(files: Files) -> None:
        text = files[path].decode()
        assert old in text
        replaced(path, text.replace(old, new, 1).encode(), forge=forge)(files)

    return change


def removed(path: Path) -> Change:
    """Deletes `path`."""

    def change(files: Files) -> None:
        del files[path]

    return change


def limited(**limits: object) -> Change:
    """Changes limits of the gate."""

    def change(files: Files) -> None:
        files[paths.PARAMS] = yaml.safe_dump({"gate": LIMITS | limits}).encode()

    return change

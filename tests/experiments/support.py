"""Runs with given results."""

import json
from pathlib import Path
from typing import Any

import yaml

from experiments import logs, results
from pipeline import paths
from pipeline.records import history_bytes
from pipeline.repository import Commit


class Made(results.Run):
    """A run with results that are given."""

    def __init__(self, name: str, values: list[float], kept: int = -1, **images: object) -> None:
        super().__init__(name, Commit(name, name))
        given = {"dataset": "mnist", "validation": 0.1, "seed": 0} | images
        dataset = {"name": given.pop("dataset")}
        history = dict.fromkeys(("loss", "accuracy", "val_accuracy"), values)
        history["val_loss"] = [1 - value for value in values]
        final = {key: column[kept] for key, column in history.items()}
        files = {
            paths.PARAMS: yaml.safe_dump({"dataset": dataset, "preprocess": given}).encode(),
            paths.HISTORY: history_bytes(history),
            paths.EVALUATE_METRICS: json.dumps({"accuracy": values[-1]}).encode(),
            paths.TRAIN_METRICS: json.dumps({"weights": 1234, "final": final}).encode(),
        }
        object.__setattr__(self, "commit", Files(files))

    def seconds(self) -> float | None:
        """Only if there is a b in its name."""
        return 3.0 if "b" in self.name else None


class Files:
    """A commit with these files."""

    def __init__(self, content: dict[Path, Any]) -> None:
        self.content = content

    def read(self, path: Path) -> bytes:
        """The content of `path`."""
        found: bytes = self.content[path]
        return found


def write_log(revision: str, name: str, commit: str, status: int, output: str = "") -> None:
    """What DVC's queue writes about a run, in the working directory."""
    folder = logs.RUNS / revision
    folder.mkdir(parents=True, exist_ok=True)
    info = {"name": name, "baseline_rev": commit, "status": status}
    (folder / f"{revision}.run").write_text(json.dumps(info))
    (folder / f"{revision}.out").write_text(output)

"""A small git repository with the results of a run, in which the real gate decides."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from pipeline import paths
from pipeline.lock import md5
from pipeline.records import read_yaml
from tests.gate.support import CLASSES, LABELS, run

CODE = Path("code.py")
STAGES: dict[str, dict[str, list[str]]] = {  # a pipeline with the outputs of the real one
    "download": {"params": ["dataset"], "outs": ["data/raw", "metrics/download.json"]},
    "preprocess": {
        "deps": ["data/raw"],
        "outs": ["data/processed/test", "metrics/preprocess.json"],
    },
    "train": {"params": ["train"], "outs": ["models/model.keras"]},
    "evaluate": {
        "deps": ["data/processed/test", "models/model.keras"],
        "outs": ["metrics/predictions.csv"],
    },
}


class Repository:
    """A clone without data: those and the model are in dvc.lock alone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def create(cls, root: Path) -> "Repository":
        """A new one, without results and without a commit."""
        repository = cls(root)
        (root / ".dvc").mkdir(parents=True)
        (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
        (root / ".gitignore").write_text("/data\n/models\n")
        (root / CODE).write_text("print()\n")
        stages = {
            name: {
                "cmd": f"python code.py {name}",
                "deps": [str(CODE), *stage.get("deps", [])],
                **({"params": stage["params"]} if "params" in stage else {}),
                "outs": [
                    {path: {"cache": False}} if path.startswith("metrics") else path
                    for path in stage["outs"]
                ],
            }
            for name, stage in STAGES.items()
        }
        (root / paths.PIPELINE).write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        repository.git("init", "--quiet", "--initial-branch=main")
        return repository

    def git(self, *arguments: str) -> str:
        """What git prints."""
        return subprocess.run(
            ("git", *arguments), cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, message: str) -> None:
        """Commits everything."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def copy(self, root: Path) -> "Repository":
        """Another one, in which everything is as here."""
        shutil.copytree(self.root, root)
        return Repository(root)

    def edit(self, path: Path, old: str, new: str) -> None:
        """Replaces the first `old` in `path`."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new, 1))

    def write(
        self,
        wrong: Iterable[int],
        labels: NDArray[np.intp] = LABELS,
        class_names: tuple[str, ...] = CLASSES,
    ) -> None:
        """Writes the results of a model that takes the images in `wrong` for the next class."""
        files = run(wrong, labels, class_names)
        del files[paths.PIPELINE]
        parameters = files[paths.PARAMS] + b"dataset:\n  name: mnist\n"
        for path, content in (files | {paths.PARAMS: parameters}).items():
            (self.root / path).parent.mkdir(exist_ok=True)
            (self.root / path).write_bytes(content)
        self.lock()

    def lock(self) -> None:
        """Writes the dvc.lock that `dvc repro` would, with a made-up digest of absent data."""
        params: Any = read_yaml((self.root / paths.PARAMS).read_bytes(), "params.yaml")
        pipeline: Any = read_yaml((self.root / paths.PIPELINE).read_bytes(), "dvc.yaml")

        def entry(path: str) -> dict[str, Any]:
            file = self.root / path
            if file.is_file():
                content = file.read_bytes()
                return {"path": path, "hash": "md5", "md5": md5(content), "size": len(content)}
            return {"path": path, "hash": "md5", "md5": "0" * 32 + ".dir"}

        stages = {}
        for name, stage in pipeline["stages"].items():
            outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage["outs"]]
            stages[name] = {
                "cmd": stage["cmd"],
                "deps": [entry(path) for path in stage["deps"]],
                "params": {"params.yaml": {key: params[key] for key in stage.get("params", [])}},
                "outs": [entry(path) for path in sorted(outs)],
            }
        lock = {"schema": "2.0", "stages": stages}
        (self.root / paths.LOCK).write_text(yaml.safe_dump(lock, sort_keys=False))

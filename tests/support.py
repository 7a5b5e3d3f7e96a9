"""What several tests use: a workspace in which the real programs run, and other parameters."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import IO, Any

from dvc.utils.serialize import modify_yaml
from ruamel.yaml import YAML

from pipeline.data import datasets
from pipeline.errors import InputError
from pipeline.params import Model, load
from pipeline.records import flat, read_yaml

REPOSITORY = Path(__file__).parents[1]

STAGES = ("download", "preprocess", "train", "evaluate")
PROGRAMS = {  # every program, and its arguments where it requires any
    **{
        f"pipeline.{name}": ()
        for name in (
            *STAGES,
            "card",
            "gate",
            "page",
            "preflight",
            "report",
            "summary",
            "verify",
        )
    },
    "pipeline.export": ("--format", "savedmodel"),
    "pipeline.launch": ("--workers", "1"),
    "pipeline.predict": (".",),
    "experiments.run": ("default",),
    "experiments.ladder": ("default",),
    "experiments.lesson": (),
    "experiments.sweep": ("train.seed=0",),
    "experiments.search": ("train.learning_rate=0.1..0.2",),
    "experiments.best": (),
    "experiments.compare": (),
    "experiments.notebook": (),
    "benchmarks.augmentations": (),
    "benchmarks.bench": (".",),
    "benchmarks.plain": (".",),
    "benchmarks.emoji": (".",),
    "benchmarks.keras_folder": (".",),
    "benchmarks.pictures": (".",),
    "benchmarks.pillow_loop": (".", "."),
    "benchmarks.photos": (".",),
    "benchmarks.ablation": (".",),
    "benchmarks.gate_power": (),
    "benchmarks.growth": (".",),
    "benchmarks.worker": (".", "--ways", "whole"),
    "benchmarks.workers": (".",),
}

Start = Callable[..., tuple[object, str, str]]  # a program: its exit code, and what it printed


class Workspace:
    """A copy of this repository, with git, in which the real programs run."""

    def __init__(self, root: Path, **variables: str) -> None:
        self.root = root
        self.variables = variables  # of the environment

    def environment(self) -> dict[str, str]:
        """The Python of the tests, no network, and nothing of the user's."""
        home = Path(tempfile.gettempdir(), f"pipeline-tests-{os.getuid()}")
        home.mkdir(exist_ok=True)
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(home),  # where matplotlib keeps its list of fonts
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@localhost",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@localhost",
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
            "COLUMNS": "400",
            **self.variables,
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs `command` here, and fails with its output if it fails."""
        result = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and result.returncode:
            raise AssertionError(f"{command}: {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def module(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the project, whatever its exit code."""
        return self.run("python", "-m", name, *arguments, check=False)

    def start(self, *command: str, stdout: int | IO[str]) -> subprocess.Popen[str]:
        """Starts `command` here."""
        return subprocess.Popen(
            command, cwd=self.root, env=self.environment(), text=True, stdout=stdout
        )

    def repro(self) -> list[str]:
        """Runs `dvc repro` and returns the stages that ran."""
        result = self.run("dvc", "repro")
        # DVC says so when it finds the lock of a killed run; nothing else may be said there.
        assert [line for line in result.stderr.splitlines() if "RWLock-file" not in line] == []
        lines = result.stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage '")]

    def set(self, key: str, value: object) -> None:
        """Changes a key of params.yaml, written as section.key."""
        set_param(self.root / "params.yaml", key, value)

    def commit(self, message: str) -> None:
        """Commits everything."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replaces the first `old` in `path`."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new, 1))

    def read(self, *paths: str) -> dict[str, bytes]:
        """The content of every file under `paths`."""
        files = (
            file
            for path in paths
            for file in ([self.root / path] if (self.root / path).is_file() else self._below(path))
        )
        return {str(file.relative_to(self.root)): file.read_bytes() for file in files}

    def _below(self, path: str) -> Iterator[Path]:
        return (file for file in sorted((self.root / path).rglob("*")) if file.is_file())

    def copy(self, root: Path) -> "Workspace":
        """Another one, in which everything is as here."""
        shutil.copytree(self.root, root, symlinks=True)
        return Workspace(root, **self.variables)


def peak(program: str, *arguments: object) -> float:
    """MiB of memory of a Python program, as text, at its peak."""
    more = "\nprint(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    command = (sys.executable, "-c", program + more, *map(str, arguments))
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return int(result.stdout.split()[-1]) / 1024


def suite_params() -> str:
    """The suite's own params.yaml. Of the user's it takes only what it lacks, like a new model's.

    The rest of the user's params.yaml may change at will.
    """
    yaml = YAML()
    own = yaml.load(Path(__file__).with_name("params.yaml"))
    _fill(own, yaml.load(REPOSITORY / "params.yaml"))
    text = StringIO()
    yaml.dump(own, text)
    return text.getvalue()


def _fill(own: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if key not in own:
            own[key] = value
        elif isinstance(value, dict) and isinstance(own[key], dict) and key != "class_floors":
            _fill(own[key], value)


def suite_settings(architecture: str) -> dict[str, Any]:
    """The settings of `architecture` in the suite's params.yaml."""
    params: Any = read_yaml(suite_params().encode(), "params.yaml")
    return dict(params["model"][architecture])


def copy_repository(root: Path) -> Workspace:
    """This repository as it is now, uncommitted changes included, with a git of its own."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        source, target = REPOSITORY / name, root / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    workspace = Workspace(root)
    workspace.run("git", "init", "--quiet", "--initial-branch=main")
    return workspace


def change_everything(path: Path) -> None:
    """Gives every key of a params.yaml another value that is allowed there."""
    for key, value in dict(flat(read_yaml(path.read_bytes(), path.name))).items():
        for candidate in _candidates(key, value):
            before = path.read_bytes()
            set_param(path, key, candidate)
            try:
                load(path)
            except InputError:
                path.write_bytes(before)
            else:
                if candidate != value:
                    break
        else:
            # With a constant rate there is no warm-up.
            assert key == "train.warmup_epochs", f"{key}: found no other value"


def set_param(path: Path, key: str, value: object) -> None:
    """Changes a key of a params.yaml, written as section.key."""
    *sections, name = key.split(".")
    with modify_yaml(str(path)) as params:
        section = params
        for one in sections:
            section = section[one]
        section[name] = value


def _candidates(key: str, value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        return [value + 0.01, value - 0.01]
    if isinstance(value, list):
        return [[*value, 8], value[1:]]
    if isinstance(value, dict):
        return [{"0": 0.1}, {}]
    names = {"dataset.name": datasets.names(), "model.name": [*Model.architectures()]}
    words = ["adam", "sgd", "constant", "cosine", "none", "balanced", "common", "auto", "pad"]
    words += ["last", "best", "flatten", "average"]
    words += ["crop", "refuse", "skip", "keep", "remove", "accuracy", "macro_f1", "memory://store"]
    return [*names.get(key, [*words, 0.1, 3])]

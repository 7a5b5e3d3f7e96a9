import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

ADDITIONS = {
    "datasets": """
from dataclasses import replace
DATASETS["letters"] = replace(DATASETS["digits"], name="letters", class_names=tuple("abcdefghij"))
""",
    "models": """
def small(shape, classes, scale, *, hidden_units, dropout):
    return mlp(shape, classes, scale, hidden_units=[4], dropout=dropout)
MODELS["small"] = Architecture(small, compiled=True)
""",
}
SMALL = """
class Small(Section):
    name: Literal["small"]
    filters: list[Units] = Field(exclude=True, description="a list, which it ignores")
    hidden_units: list[Units] = Field(description="a list of numbers, which it ignores")
    dropout: Dropout = Field(description="a number")
"""


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
            "HOME": str(home),  # where matplotlib keeps what it found out about fonts
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

    def repro(self) -> list[str]:
        """Runs `dvc repro` and returns the stages that ran."""
        result = self.run("dvc", "repro")
        # DVC says so when it finds the lock of a killed one; nothing else may be said there.
        assert [line for line in result.stderr.splitlines() if "RWLock-file" not in line] == []
        lines = result.stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage '")]

    def set(self, key: str, value: str) -> None:
        """Changes one key of params.yaml, written as section.key, and nothing else."""
        section, name = key.split(".")
        path = self.root / "params.yaml"
        head, tail = path.read_text().split(f"\n{section}:\n")
        lines = tail.split("\n")
        number = next(i for i, line in enumerate(lines) if line.startswith(f"  {name}:"))
        lines[number] = f"  {name}: {value}"
        while lines[number + 1].startswith("  - "):
            del lines[number + 1]
        path.write_text("\n".join([f"{head}\n{section}:", *lines]))

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
        shutil.copytree(self.root, root, symlinks=True)
        return Workspace(root, **self.variables)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The repository as it is now, committed, set to a short training on the digits.

    A dataset and a model are added to it as README says.
    """
    workspace = Workspace(tmp_path_factory.mktemp("fresh") / "repository")
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, listed):
        source, target = REPOSITORY / name, workspace.root / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    workspace.run("git", "init", "--quiet", "--initial-branch=main")
    for name, addition in ADDITIONS.items():
        with (workspace.root / f"pipeline/{name}.py").open("a") as file:
            file.write(addition)
    params = workspace.root / "pipeline/params.py"
    text = params.read_text()
    params.write_text(
        text.replace("Model = Mlp | Cnn\n", f"{SMALL}\n\nModel = Mlp | Cnn | Small\n")
    )
    workspace.set("dataset.name", "digits")
    workspace.set("train.epochs", "2")
    workspace.run("git", "add", "--all")
    workspace.run("git", "commit", "--quiet", "--message", "Digits")
    return workspace


@pytest.fixture(scope="session")
def reproduced(fresh: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same after `dvc repro`. Not to be changed: copy it."""
    workspace = fresh.copy(tmp_path_factory.mktemp("reproduced") / "repository")
    assert workspace.repro() == ["download", "preprocess", "train", "evaluate"]
    return workspace


@pytest.fixture
def workspace(reproduced: Workspace, tmp_path: Path) -> Workspace:
    """A reproduced copy to change."""
    return reproduced.copy(tmp_path / "repository")


@pytest.fixture
def mnist(tmp_path: Path) -> Workspace:
    """A clone of the last commit, on the dataset that it names, where its archives are at hand."""
    mirror = os.environ.get("DATASET_MIRROR", "")
    if not Path(mirror, "train-images-idx3-ubyte.gz").is_file():
        pytest.skip("DATASET_MIRROR names no folder with MNIST's archives")
    clone = tmp_path / "clone"
    subprocess.run(("git", "clone", "--quiet", REPOSITORY, clone), check=True)
    return Workspace(clone, DATASET_MIRROR=str(Path(mirror).resolve()))

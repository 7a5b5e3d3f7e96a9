import os
import runpy
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from pipeline.program import NO_COMPILE_CACHE
from tests.browser import Browser, offline_browser
from tests.support import REPOSITORY, STAGES, Start, Workspace, copy_repository, suite_params

MNIST = {
    "dataset.name": "mnist",
    "model.mlp.hidden_units": [128],
    "train.epochs": 5,
    "train.learning_rate": 0.001,
    "gate.floor": 0.95,
    "gate.margin": 0.005,
}


os.environ[NO_COMPILE_CACHE] = "1"  # in this process; those of a Workspace have a home of their own

hypothesis.settings.register_profile("untimed", deadline=None)  # machines differ in speed
hypothesis.settings.load_profile("untimed")

for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:  # as for what a shell runs in the background
        default = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
        signal.signal(number, default)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--changed-since",
        metavar="REV",
        help="of the tests marked long, run only those that concern a file changed since REV",
    )
    parser.addoption("--write-faults", action="store_true", help="write docs/faults.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    revision = config.getoption("--changed-since")
    if not revision:
        return
    changed = subprocess.run(
        ("git", "diff", "--name-only", revision, "--"),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    def concerned(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("long")
        own = item.path.relative_to(REPOSITORY).as_posix()
        return mark is None or any(path.startswith((own, *mark.args)) for path in changed)

    left_out = [item for item in items if not concerned(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if concerned(item)]


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The repository as it is now, committed, with the suite's own parameters."""
    workspace = copy_repository(tmp_path_factory.mktemp("fresh") / "repository")
    (workspace.root / "params.yaml").write_text(suite_params())
    for path in (workspace.root / "metrics").iterdir():
        if path.suffix in (".json", ".csv", ".png"):
            path.unlink()  # they are of the user's parameters
    (workspace.root / "dvc.lock").unlink()
    workspace.commit("Digits")
    return workspace


@pytest.fixture(scope="session")
def reproduced(fresh: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The same after `dvc repro`, committed. Not to be changed: copy it."""
    workspace = fresh.copy(tmp_path_factory.mktemp("reproduced") / "repository")
    assert workspace.repro() == [*STAGES]
    workspace.commit("Reproduced")
    return workspace


@pytest.fixture
def workspace(reproduced: Workspace, tmp_path: Path) -> Workspace:
    """A reproduced copy to change."""
    return reproduced.copy(tmp_path / "repository")


@pytest.fixture(scope="session")
def compared(reproduced: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A second commit, whose model has another learning rate. Not to be changed: copy it."""
    workspace = reproduced.copy(tmp_path_factory.mktemp("compared") / "repository")
    workspace.set("train.learning_rate", 0.02)
    assert workspace.repro() == ["train", "evaluate"]
    workspace.commit("Changed")
    return workspace


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Headless Chromium, where it is installed."""
    if not shutil.which("chromium"):
        pytest.skip("chromium is not installed")
    (tmp_path / "browser").mkdir()
    with offline_browser(tmp_path / "browser") as browser:
        yield browser


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Runs a program as `python -m` does, but in this process, which has imported most already."""

    def start(module: str, *arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", [module, *arguments])
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        output = capsys.readouterr()
        return end.value.code, output.out, output.err

    return start


@pytest.fixture
def mnist(fresh: Workspace, tmp_path: Path) -> Workspace:
    """The repository on MNIST, with a short training, where its archives are at hand."""
    mirror = os.environ.get("DATASET_MIRROR", "")
    if not Path(mirror, "train-images-idx3-ubyte.gz").is_file():
        pytest.skip("DATASET_MIRROR names no folder with MNIST's archives")
    workspace = fresh.copy(tmp_path / "mnist")
    workspace.variables["DATASET_MIRROR"] = str(Path(mirror).resolve())
    for key, value in MNIST.items():
        workspace.set(key, value)
    workspace.commit("MNIST")
    return workspace

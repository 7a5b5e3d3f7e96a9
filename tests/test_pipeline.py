"""The real pipeline, end to end, on the digits in the repository."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.records import read_yaml
from tests.support import Start, Workspace

OUTPUTS = ("data/raw", "data/processed", "models/model.keras", "metrics", "dvc.lock")

SURROUNDINGS = {
    "one core": "taskset --cpu-list 0",
    "one thread": "env OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1",
    "eight threads": "env OMP_NUM_THREADS=8 TF_NUM_INTRAOP_THREADS=8 TF_NUM_INTEROP_THREADS=8",
    "another hash seed": "env PYTHONHASHSEED=12345",
    "XLA on AVX2": "env XLA_FLAGS=--xla_cpu_max_isa=AVX2",
    "oneDNN on AVX2": "env ONEDNN_MAX_CPU_ISA=AVX2",
    "a user's own limits": "env ONEDNN_MAX_CPU_ISA=SSE41 XLA_FLAGS=--xla_cpu_max_isa=SSE4_2",
}
RANDOM: dict[str, object] = {
    "model.mlp.dropout": 0.2,
    "model.cnn.dropout": 0.2,
    "train.weight_decay": 0.01,
    "train.label_smoothing": 0.1,
    "train.average": 0.9,
    "augment.shift": 1,
    "augment.rotation": 10.0,
    "augment.zoom": 0.1,
    "augment.shear": 10.0,
    "augment.elastic": 1.0,
    "augment.flip": True,
    "augment.erase": 3,
}


@pytest.fixture(params=["plain", "random", "cnn"])
def trained(request: pytest.FixtureRequest, workspace: Workspace) -> Workspace:
    """A reproduced copy: as it is, with all kinds of randomness, and then with convolutions."""
    changes = {"plain": {}, "random": RANDOM, "cnn": {**RANDOM, "model.name": "cnn"}}[request.param]
    for key, value in changes.items():
        workspace.set(key, value)
    assert workspace.repro() == (["train", "evaluate"] if changes else [])
    return workspace


@pytest.mark.nightly
@pytest.mark.long("pipeline/training", "pipeline/train.py", "pipeline/evaluate.py")
def test_surroundings_change_no_byte(trained: Workspace) -> None:
    before = trained.read(*OUTPUTS)
    for case, prefix in SURROUNDINGS.items():
        (trained.root / "models/model.keras").unlink()
        for stage in ("train", "evaluate"):
            trained.run(*prefix.split(), "python", "-m", f"pipeline.{stage}")
        after = trained.read(*OUTPUTS)
        changed = {name for name in before if before[name] != after[name]}
        assert changed <= {"metrics/timing.json"}, case


def metrics(workspace: Workspace, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((workspace.root / "metrics" / name).read_text())
    return content


def test_the_numbers_agree_with_one_another(reproduced: Workspace) -> None:
    evaluated, trained = metrics(reproduced, "evaluate.json"), metrics(reproduced, "train.json")
    rows = np.genfromtxt(
        reproduced.root / "metrics/predictions.csv", delimiter=",", names=True, dtype=None
    )
    assert rows["index"].tolist() == list(range(360))
    assert evaluated["accuracy"] == np.mean(rows["actual"] == rows["predicted"])
    assert evaluated["errors"] == np.sum(rows["actual"] != rows["predicted"])
    assert evaluated["accuracy"] > 0.8  # after two epochs; chance is 0.1
    history = np.genfromtxt(reproduced.root / "metrics/history.csv", delimiter=",", names=True)
    assert history["epoch"].tolist() == [1, 2]
    assert history["val_accuracy"][-1] == trained["final"]["val_accuracy"]
    assert metrics(reproduced, "preprocess.json")["pixels"]["largest"] == 16  # of the digits


def test_a_change_reruns_what_depends_on_it(workspace: Workspace) -> None:
    assert workspace.repro() == []
    assert workspace.run("dvc", "status", "--quiet", check=False).returncode == 0
    workspace.set("model.cnn.filters", [3])  # of the architecture that is not chosen
    assert workspace.run("dvc", "status", "--quiet", check=False).returncode == 0
    workspace.set("model.name", "cnn")
    assert '"train"' in workspace.run("dvc", "status", "--json").stdout
    workspace.set("model.name", "mlp")
    with (workspace.root / "pipeline/data/idx.py").open("a") as file:
        file.write("# without effect\n")
    assert workspace.repro() == ["preprocess"]  # its outputs are the same, so nothing follows


IDENTITY = """
import sys
from pipeline import params, paths, train

identity = train._identity

def show(*arguments):
    print(*sorted(identity(*arguments)["code"]), sep="\\n")
    sys.exit()

train._identity = show
train.main(params.load(paths.PARAMS))
"""


@pytest.mark.long("pipeline", "dvc.yaml")
def test_a_checkpoint_is_named_by_the_code_that_decides_the_weights(reproduced: Workspace) -> None:
    pipeline: Any = read_yaml((reproduced.root / "dvc.yaml").read_bytes(), "dvc.yaml")
    deps = pipeline["stages"]["train"]["deps"]
    expected = [path.removeprefix("pipeline/") for path in deps if path.startswith("pipeline/")]
    assert reproduced.run("python", "-c", IDENTITY).stdout.splitlines() == expected


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("dvc metrics show", "metrics/evaluate.json"),
        ("dvc metrics show metrics/timing.json", "train.seconds"),
        ("dvc metrics diff HEAD~1", "images.train.total"),
        ("dvc params diff --all", "train.learning_rate"),
        ("dvc exp show --no-pager --md", "| workspace"),
        ("dvc dag", "| evaluate |"),
        ("dvc plots diff HEAD", "dvc_plots/index.html"),
    ],
)
def test_dvc_shows_something_useful(command: str, expected: str, reproduced: Workspace) -> None:
    assert expected in reproduced.run(*command.split()).stdout


@pytest.mark.parametrize(
    ("stage", "missing", "message"),
    [
        ("preprocess", "data/raw/manifest.csv", "data/raw: found no file"),
        ("train", "data/processed/train/images.npy", "data/processed/train: cannot be read"),
        ("train", "data/processed/validation/about.json", "data/processed/validation: cannot"),
        ("evaluate", "models/model.keras", "models/model.keras: no such file; run dvc repro"),
        ("evaluate", "data/processed/test/labels.npy", "data/processed/test: cannot be read"),
        ("evaluate", "metrics/history.csv", "metrics/history.csv: cannot be read"),
    ],
)
def test_a_missing_input(
    stage: str,
    missing: str,
    message: str,
    workspace: Workspace,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(workspace.root)
    Path(missing).unlink()
    before = workspace.read(*OUTPUTS)
    code, _, errors = start(f"pipeline.{stage}")
    assert (code, errors.count("\n")) == (2, 1)
    assert message in errors
    assert "run dvc repro" in errors
    assert workspace.read(*OUTPUTS) == before


def test_test_images_of_other_classes(
    workspace: Workspace, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    about = Path("data/processed/test/about.json")
    about.write_text(about.read_text().replace('"7"', '"seven"'))
    code, _, errors = start("pipeline.evaluate")
    assert (code, errors.count("\n")) == (2, 1)
    assert (
        "model.keras: was trained on the classes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, expected those"
        in errors
    )


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_parameters_are_refused_before_tensorflow_is_imported(
    stage: str, workspace: Workspace
) -> None:
    workspace.set("train.epochs", -1)
    program = (
        "import runpy, sys\n"
        "try:\n"
        f"    runpy.run_module('pipeline.{stage}', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    print(end.code, 'tensorflow' in sys.modules)\n"
    )
    result = workspace.run("python", "-c", program)
    assert result.stdout == "2 False\n"
    assert "params.yaml: train.epochs: found -1" in result.stderr


@pytest.mark.long("pipeline/gate", "pipeline/training", "pipeline/train.py")
def test_mnist_trained_worse_and_better(mnist: Workspace) -> None:
    mnist.repro()
    mnist.commit("Good")
    mnist.set("train.epochs", 2)
    mnist.set("train.learning_rate", 0.0001)
    mnist.repro()
    command = ("pipeline.gate", "--baseline=HEAD", "--json=verdict.json")
    assert mnist.module(*command).returncode == 1
    found = json.loads((mnist.root / "verdict.json").read_text())
    assert (found["outcome"], found["comparison"]["drop"] > 0.005) == ("reject", True)
    mnist.commit("Worse")
    mnist.run("git", "checkout", "HEAD~1", "--", "params.yaml")
    mnist.repro()
    assert mnist.module(*command).returncode == 0
    found = json.loads((mnist.root / "verdict.json").read_text())
    assert (found["outcome"], found["comparison"]["drop"] < -0.005) == ("accept", True)

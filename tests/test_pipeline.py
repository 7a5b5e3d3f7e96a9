"""The real pipeline, end to end, on the digits in the repository."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.params import Params
from tests.conftest import Workspace

OUTPUTS = ("data/raw", "data/processed", "models/model.keras", "metrics", "dvc.lock")
ALL = ["download", "preprocess", "train", "evaluate"]

# Every key of params.yaml: another value for it, and the stages that name it.
PARAMETERS = {
    "dataset.name": ("letters", ["download", "preprocess"]),
    "preprocess.validation": ("test", ["preprocess"]),
    "preprocess.seed": ("1", ["preprocess"]),
    "model.name": ("small", ["train"]),
    "model.filters": ("[8]", ["train"]),
    "model.hidden_units": ("[8, 8]", ["train"]),
    "model.dropout": ("0.5", ["train"]),
    "train.epochs": ("1", ["train"]),
    "train.batch_size": ("33", ["train"]),
    "train.drop_last": ("true", ["train"]),
    "train.optimizer": ("sgd", ["train"]),
    "train.learning_rate": ("0.002", ["train"]),
    "train.schedule": ("constant", ["train"]),
    "train.warmup_epochs": ("1", ["train"]),
    "train.weight_decay": ("0.1", ["train"]),
    "train.label_smoothing": ("0.1", ["train"]),
    "train.seed": ("1", ["train"]),
    "augment.shift": ("1", ["train"]),
    "augment.rotation": ("10.0", ["train"]),
    "augment.zoom": ("0.1", ["train"]),
    "augment.flip": ("true", ["train"]),
    "evaluate.calibration_bins": ("3", ["evaluate"]),
    "evaluate.mistakes": ("3", ["evaluate"]),
    "gate.floor": ("0.5", []),
    "gate.class_floors": ('{"8": 0.5}', []),
    "gate.margin": ("0.1", []),
    "gate.confidence": ("0.9", []),
    "gate.seeds": ("5", []),
    "gate.margin_seeds": ("0.1", []),
}

# Some of them, and the stages that run after such a change.
RERUNS = {
    "dataset.name": ALL,
    "preprocess.seed": ["preprocess", "train", "evaluate"],
    "model.name": ["train", "evaluate"],
    "train.epochs": ["train", "evaluate"],
    "evaluate.mistakes": ["evaluate"],
}

# Every file of the package, and the stages that an edit makes rerun.
FILES = {
    "__init__": [],
    "artifacts": ALL,
    "backend": ["train", "evaluate"],
    "checkpoint": ["train"],
    "compare": [],
    "datasets": ["download", "preprocess"],
    "download": ["download"],
    "errors": ALL,
    "evaluate": ["evaluate"],
    "figures": ["evaluate"],
    "fit": ["train"],
    "gate": [],
    "idx": ["preprocess"],
    "layers": ["train"],
    "models": ["train"],
    "noise": ["train"],
    "params": ALL,
    "paths": ALL,
    "preprocess": ["preprocess"],
    "progress": ["train"],
    "report": [],
    "results": [],
    "revision": [],
    "score": ["evaluate"],
    "seeds": [],
    "split": ["preprocess", "train", "evaluate"],
    "stage": ALL,
    "train": ["train"],
    "verdict": [],
    "verify": [],
    "workspace": [],
}


def metrics(workspace: Workspace, name: str) -> dict[str, float]:
    content: dict[str, float] = json.loads((workspace.root / "metrics" / name).read_text())
    return content


def test_a_second_run_runs_nothing(workspace: Workspace) -> None:
    assert workspace.repro() == []
    assert workspace.run("dvc", "status", "--quiet", check=False).returncode == 0


def test_two_runs_from_scratch_are_the_same_to_the_byte(
    fresh: Workspace, reproduced: Workspace, tmp_path: Path
) -> None:
    again = fresh.copy(tmp_path / "elsewhere")
    assert again.repro() == ALL
    first, second = reproduced.read(*OUTPUTS), again.read(*OUTPUTS)
    first.pop("metrics/timing.json"), second.pop("metrics/timing.json")
    assert len(first) > 20
    assert {name for name in first.keys() | second if first.get(name) != second.get(name)} == set()


SURROUNDINGS = {
    "one core": "taskset --cpu-list 0",
    "one thread": "env OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1",
    "eight threads": "env OMP_NUM_THREADS=8 TF_NUM_INTRAOP_THREADS=8 TF_NUM_INTEROP_THREADS=8",
    "another hash seed": "env PYTHONHASHSEED=12345",
    "XLA on AVX2": "env XLA_FLAGS=--xla_cpu_max_isa=AVX2",
    "oneDNN on AVX2": "env ONEDNN_MAX_CPU_ISA=AVX2",
    "a user's own limits": "env ONEDNN_MAX_CPU_ISA=SSE41 XLA_FLAGS=--xla_cpu_max_isa=SSE4_2",
}


NOISY = {
    "model.dropout": "0.2",
    "train.weight_decay": "0.01",
    "train.label_smoothing": "0.1",
    "augment.shift": "1",
    "augment.rotation": "10.0",
    "augment.zoom": "0.1",
    "augment.flip": "true",
}
CNN = {"model.name": "cnn", "model.filters": "[4, 8]", "model.hidden_units": "[16]"}


@pytest.fixture(params=["plain", "noisy", "cnn"])
def trained(request: pytest.FixtureRequest, workspace: Workspace) -> Workspace:
    """A reproduced copy: as it is, with all noise, and that with convolutions."""
    changes = {"plain": {}, "noisy": NOISY, "cnn": NOISY | CNN}[request.param]
    for key, value in changes.items():
        workspace.set(key, value)
    assert workspace.repro() == (["train", "evaluate"] if changes else [])
    return workspace


@pytest.mark.long
def test_surroundings_change_no_byte(trained: Workspace) -> None:
    before = trained.read(*OUTPUTS)
    for case, prefix in SURROUNDINGS.items():
        (trained.root / "models/model.keras").unlink()
        for stage in ("train", "evaluate"):
            trained.run(*prefix.split(), "python", "-m", f"pipeline.{stage}")
        after = trained.read(*OUTPUTS)
        changed = {name for name in before if before[name] != after[name]}
        assert changed <= {"metrics/timing.json"}, case


def test_the_numbers_agree_with_one_another(reproduced: Workspace) -> None:
    evaluated, trained = metrics(reproduced, "evaluate.json"), metrics(reproduced, "train.json")
    rows = np.genfromtxt(
        reproduced.root / "metrics/predictions.csv", delimiter=",", names=True, dtype=None
    )
    assert rows["index"].tolist() == list(range(360))
    assert evaluated["accuracy"] == np.mean(rows["actual"] == rows["predicted"])
    assert evaluated["errors"] == np.sum(rows["actual"] != rows["predicted"])
    assert evaluated["accuracy"] > 0.5  # after two epochs; chance is 0.1
    history = np.genfromtxt(reproduced.root / "metrics/history.csv", delimiter=",", names=True)
    assert history["epoch"].tolist() == [1, 2]
    assert history["val_accuracy"][-1] == trained["final"]["val_accuracy"]  # type: ignore[index]


def test_every_key_and_every_file_is_in_the_tables() -> None:
    sections = Params.model_json_schema()
    names = {
        name: [details["$ref"]] if "$ref" in details else [one["$ref"] for one in details["oneOf"]]
        for name, details in sections["properties"].items()
    }
    assert set(PARAMETERS) == {
        f"{name}.{key}"
        for name, references in names.items()
        for reference in references
        for key in sections["$defs"][reference.split("/")[-1]]["properties"]
    }
    assert sorted(FILES) == sorted(path.stem for path in Path("pipeline").glob("*.py"))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.name", "big", "model.name: found 'big', expected one of 'mlp', 'cnn', 'small'"),
        ("model.hidden_units", "[1, 0]", "model.hidden_units[1]: found 0, expected a list of"),
    ],
)
def test_a_wrong_parameter_among_several_models(
    key: str, value: str, message: str, workspace: Workspace
) -> None:
    workspace.set(key, value)
    assert message in workspace.run("python", "-m", "pipeline.train", check=False).stderr


def stale(workspace: Workspace) -> list[str]:
    """The stages that DVC calls changed."""
    status = json.loads(workspace.run("dvc", "status", "--json").stdout)
    return [stage for stage in ALL if stage in status]


def test_a_parameter_concerns_the_stages_that_name_it(workspace: Workspace) -> None:
    before = (workspace.root / "params.yaml").read_text()
    found = {}
    for key, (value, _) in PARAMETERS.items():
        workspace.set(key, value)
        found[key] = stale(workspace)
        (workspace.root / "params.yaml").write_text(before)
    assert found == {key: stages for key, (_, stages) in PARAMETERS.items()}


@pytest.mark.parametrize("key", RERUNS)
def test_a_parameter_reruns_what_depends_on_it(key: str, workspace: Workspace) -> None:
    workspace.set(key, PARAMETERS[key][0])
    assert workspace.repro() == RERUNS[key]


def test_a_file_reruns_what_depends_on_it(workspace: Workspace) -> None:
    # A comment changes no output, so the stages that run are those that DVC calls changed.
    found = {}
    for name in FILES:
        path = workspace.root / "pipeline" / f"{name}.py"
        before = path.read_text()
        path.write_text(f"{before}\n# changed\n")
        found[name] = stale(workspace)
        path.write_text(before)
    assert found == FILES


def test_an_edit_without_effect_stops_where_it_stands(workspace: Workspace) -> None:
    with (workspace.root / "pipeline/idx.py").open("a") as file:
        file.write("\n# changed\n")
    assert workspace.repro() == ["preprocess"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("dvc metrics show", "metrics/evaluate.json"),
        ("dvc metrics show metrics/timing.json", "train.seconds"),
        ("dvc metrics diff", "images.train.total"),
        ("dvc params diff --all", "train.learning_rate"),
        ("dvc exp show --no-pager --md", "| workspace"),
        ("dvc dag", "| evaluate |"),
        ("dvc plots show", "dvc_plots/index.html"),
        ("dvc plots diff", "dvc_plots/index.html"),
        ("dvc status", "up to date"),
    ],
)
def test_dvc_shows_something_useful(command: str, expected: str, reproduced: Workspace) -> None:
    assert expected in reproduced.run(*command.split()).stdout


def test_dvc_draws_the_plots(workspace: Workspace) -> None:
    workspace.run("dvc", "plots", "show")
    page = (workspace.root / "dvc_plots/index.html").read_text()
    for title in ("Accuracy by epoch", "Loss by epoch", "Confusion matrix of the test images"):
        assert title in page
    static = workspace.root / "dvc_plots/static"
    assert {path.name for path in static.glob("workspace_*.png")} == {
        f"workspace_metrics_{name}.png" for name in ("confusion", "curves", "mistakes")
    }


@pytest.mark.parametrize(
    ("stage", "missing", "message"),
    [
        ("preprocess", "data/raw/train-images-idx3-ubyte", "no such file; run dvc repro"),
        ("train", "data/processed/train/images.npy", "data/processed/train: cannot be read"),
        ("train", "data/processed/validation/classes.json", "data/processed/validation: cannot"),
        ("evaluate", "models/model.keras", "models/model.keras: no such file; run dvc repro"),
        ("evaluate", "data/processed/test/labels.npy", "data/processed/test: cannot be read"),
        ("evaluate", "metrics/history.csv", "metrics/history.csv: cannot be read"),
    ],
)
def test_a_missing_input(stage: str, missing: str, message: str, workspace: Workspace) -> None:
    (workspace.root / missing).unlink()
    before = workspace.read(*OUTPUTS)
    result = workspace.run("python", "-m", f"pipeline.{stage}", check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert workspace.read(*OUTPUTS) == before


def test_a_damaged_model(workspace: Workspace) -> None:
    path = workspace.root / "models/model.keras"
    path.write_bytes(path.read_bytes()[:-100])
    result = workspace.run("python", "-m", "pipeline.evaluate", check=False)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "models/model.keras: is no Keras model" in result.stderr


def test_a_loss_that_is_not_finite(workspace: Workspace) -> None:
    workspace.set("train.optimizer", "sgd")
    workspace.set("train.learning_rate", "10")
    workspace.set("model.hidden_units", "[512, 512, 512, 512]")
    result = workspace.run("dvc", "repro", check=False)
    assert "train: loss is nan after epoch 1; lower train.learning_rate in" in result.stderr
    assert "exited with 5" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (workspace.root / "models/model.keras").exists()


@pytest.mark.parametrize("stage", ALL)
def test_a_full_disk(stage: str, workspace: Workspace) -> None:
    if stage == "download":
        (workspace.root / "data/raw/train-labels-idx1-ubyte").unlink()
    before = workspace.read(*OUTPUTS)
    command = f"ulimit -f 10; exec python -m pipeline.{stage}"  # only small files may be written
    result = workspace.run("bash", "-c", command, check=False)
    assert result.returncode == 6, result.stderr
    assert result.stderr.count("\n") == 1
    assert workspace.read(*OUTPUTS) == before


@pytest.mark.parametrize("stage", ALL)
def test_parameters_are_refused_before_tensorflow_is_imported(
    stage: str, workspace: Workspace
) -> None:
    workspace.set("train.epochs", "-1")
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

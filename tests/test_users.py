"""What a user may change by the README's words leaves the suite green."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.params import Model
from tests.support import Workspace, copy_repository

FUNCTION = '''
def residual(
    shape: Shape, classes: int, scale: float, *, filters: int, blocks: int, dropout: float
) -> keras.Model:
    """Residual blocks (He et al., CVPR 2016), averaged over the image."""
    inputs = keras.Input(shape, dtype="uint8", name="pixels")
    features = layers.Reshape((*shape, 1))(layers.Rescaling(scale)(inputs))
    features = layers.Conv2D(filters, 3, padding="same")(features)
    for _ in range(blocks):
        inner = layers.Conv2D(filters, 3, padding="same", use_bias=False)(features)
        inner = layers.ReLU()(layers.BatchNormalization()(inner))
        inner = layers.Conv2D(filters, 3, padding="same")(inner)
        features = layers.ReLU()(layers.Add()([features, inner]))
    features = layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(features))
    return keras.Model(inputs, layers.Dense(classes)(features), name="residual")


MODELS["residual"] = residual
'''
SECTION = '''class Residual(Section):
    """A network of residual blocks."""

    filters: Units = Field(description="a whole number from 1 to 8192, filters of a convolution")
    blocks: int = Field(ge=1, le=99, description="a whole number from 1 to 99, residual blocks")
    dropout: Dropout


class Model(Section):
'''
VALUES = """  residual:
    filters: 8
    blocks: 1
    dropout: 0.1
  mlp:"""


@pytest.fixture
def changed(tmp_path: Path) -> Workspace:
    """A clone in which a dataset and a model were added, and every parameter changed."""
    workspace = copy_repository(tmp_path / "clone")
    sources = workspace.root / "data/sources"
    shutil.copytree(sources / "digits", sources / "letters")
    workspace.edit(
        "data/sources/letters/dataset.yaml", '["0", "1", "2", "3"', '["a", "b", "c", "d"'
    )
    with (workspace.root / "pipeline/training/models.py").open("a") as file:
        file.write(FUNCTION)
    workspace.edit("pipeline/params.py", "class Model(Section):\n", SECTION)
    workspace.edit("pipeline/params.py", "    mlp: Mlp\n", "    mlp: Mlp\n    residual: Residual\n")
    workspace.edit("params.yaml", "  mlp:", VALUES)
    change = "from tests.support import *; change_everything(Path('params.yaml'))"
    workspace.run(sys.executable, "-c", change)
    for metric in (workspace.root / "metrics").glob("*.[cjp]*"):
        metric.write_bytes(b"of the user's run")
    workspace.commit("Mine")
    return workspace


def run_suite(workspace: Workspace, *arguments: str) -> None:
    """Runs tests of the clone in the clone."""
    result = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments),
        cwd=workspace.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:]
    assert re.search(r"\d passed", result.stdout)


def test_the_tests_that_read_parameters_are_green(changed: Workspace) -> None:
    run_suite(
        changed,
        *("tests/test_params.py", "tests/test_structure.py", "tests/test_readme.py"),
        *("tests/data/test_datasets.py", "tests/experiments/test_sets.py"),
        *("-k", "not as_dvc_reads_them and not deep and not installed and not MB"),
    )


@pytest.mark.nightly
@pytest.mark.long("tests", "pipeline/params.py", "pipeline/training/models.py", "params.yaml")
def test_the_whole_suite_is_green(changed: Workspace) -> None:
    run_suite(changed, "--deselect=tests/test_users.py")


CONCERNED = pytest.mark.long("pipeline/training", "pipeline/params.py", "dvc.yaml")


@pytest.mark.nightly
@CONCERNED
def test_the_new_model_comes_out_the_same_killed_or_not(changed: Workspace) -> None:
    run_suite(changed, "-m", "long", "tests/training/test_options.py", "-k", "residual")


@CONCERNED
def test_the_new_model_is_chosen_by_its_name_alone(changed: Workspace) -> None:
    (changed.root / "params.yaml").write_text(
        (changed.root / "tests/params.yaml").read_text().replace("  mlp:", VALUES, 1)
    )
    changed.run("dvc", "repro")
    changed.commit("Digits")
    changed.run("dvc", "exp", "run", "--set-param", "model.name=residual")
    status = changed.run("git", "diff", "--numstat", "params.yaml").stdout.split()
    assert status == ["1", "1", "params.yaml"]
    assert "residual" in (changed.root / "dvc.lock").read_text()
    assert "residual" not in Model.architectures()  # it is not in this repository

"""Data of one's own: the examples of docs/own-data.md, the formats, and what a change reruns."""

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.makers import (
    FASHION,
    FORMATS,
    as_parquet,
    digits,
    fashion_mnist,
    pets,
    random_images,
    table,
)
from tests.data.support import read
from tests.support import REPOSITORY, STAGES, Workspace

CONCERNED = ("pipeline/data", "pipeline/preprocess.py", "pipeline/download.py", "tests/data")
PAGE = (REPOSITORY / "docs/own-data.md").read_text()
PETS = {"cat": 60, "dog": 40, "hamster": 30}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_splits(form: str, tmp_path: Path) -> None:
    arrays = {"train": random_images(40, 4, 0), "test": random_images(8, 4, 1)}
    FORMATS[form](arrays, ["a", "b", "c", "d"], tmp_path / "own")
    splits = read(tmp_path)
    together = np.concatenate([splits["train"].images, splits["validation"].images])
    assert sorted(map(bytes, together)) == sorted(map(bytes, arrays["train"][0]))
    np.testing.assert_array_equal(splits["test"].images, arrays["test"][0])
    np.testing.assert_array_equal(splits["test"].labels, arrays["test"][1])
    assert splits["test"].class_names == ("a", "b", "c", "d")


@pytest.mark.long(*CONCERNED)
def test_fashion_mnist_is_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    arrays, made = fashion_mnist(), {}
    for form, save in FORMATS.items():
        save(arrays, FASHION, tmp_path / form / "own")
        splits = read(tmp_path / form)
        assert [len(split.labels) for split in splits.values()] == [54_000, 6_000, 10_000]
        processed = tmp_path / form / ".processed"
        made[form] = {
            file.relative_to(processed): file.read_bytes() for file in processed.glob("*/*")
        }
    assert len(made["folders"]) == 9
    assert [form for form in FORMATS if made[form] != made["folders"]] == []


def commands(heading: str) -> list[str]:
    """The commands below a heading of docs/own-data.md."""
    section = re.split(rf"^## {heading}\n", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return list(block.splitlines())


def run_example(workspace: Workspace, heading: str) -> str:
    """Runs the commands of an example with `workspace`/home for ~, and returns what they print."""
    home = workspace.root.parent / "home"
    printed = []
    for line in commands(heading):
        if line.startswith("pip install"):
            continue  # what as_parquet has checked
        command = line.replace("~", str(home)).replace("make ", f"make {WITHOUT_SETUP} ")
        command += " -S train.epochs=12" if line.startswith("dvc exp run") else ""
        printed.append(workspace.run("bash", "-ec", command).stdout)
    return "".join(printed)


WITHOUT_SETUP = "-o .venv/.ready -o params.schema.json"


def accuracy(workspace: Workspace) -> float:
    metrics = json.loads((workspace.root / "metrics/evaluate.json").read_text())
    return float(metrics["accuracy"])


@pytest.mark.long("docs/own-data.md", *CONCERNED)
def test_the_example_of_pictures(fresh: Workspace, tmp_path: Path) -> None:
    workspace = fresh.copy(tmp_path / "repository")
    pets(tmp_path / "home/Pictures/pets", PETS)
    pets(tmp_path / "home/Pictures/new", {"red": 2, "green": 1}, seed=1)
    printed = run_example(workspace, "Pictures in folders")
    assert "there are no test images, so preprocess.test holds out 26" in printed
    assert "32x32 pixels in colour" in printed
    answers = printed[printed.index("\npicture ") :].splitlines()[2:]
    assert [answer.split()[:2] for answer in answers] == [
        ["green/000.jpg", "dog"],
        ["red/000.jpg", "cat"],
        ["red/001.png", "cat"],
    ]
    assert accuracy(workspace) > 0.8


@pytest.mark.long("docs/own-data.md", *CONCERNED)
def test_the_example_of_a_table(fresh: Workspace, tmp_path: Path) -> None:
    workspace = fresh.copy(tmp_path / "repository")
    arrays, downloads = digits(), tmp_path / "home/Downloads"
    downloads.mkdir(parents=True)
    table(downloads / "train.csv", *arrays["train"])
    table(downloads / "test.csv", arrays["test"][0])
    printed = run_example(workspace, "A table from Kaggle")
    assert "test.csv: has no labels, so it is left out" in printed
    with (workspace.root / "submission.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["ImageId", "Label"]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 361)]
    assert (np.array([int(row[1]) for row in rows]) == arrays["test"][1]).mean() > 0.8


@pytest.mark.long("docs/own-data.md", *CONCERNED)
def test_the_example_of_parquet(fresh: Workspace, tmp_path: Path) -> None:
    workspace = fresh.copy(tmp_path / "repository")
    few = {
        split: (images[::20], labels[::20]) for split, (images, labels) in fashion_mnist().items()
    }
    as_parquet(few, FASHION, tmp_path / "home/Downloads/fashion")
    run_example(workspace, "Parquet from Hugging Face")
    assert accuracy(workspace) > 0.7
    metrics = json.loads((workspace.root / "metrics/evaluate.json").read_text())
    assert [row["class"] for row in metrics["accuracy_per_class"]] == FASHION


@pytest.fixture(scope="module")
def own(fresh: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that has reproduced pictures of its own."""
    workspace = fresh.copy(tmp_path_factory.mktemp("own") / "repository")
    pets(workspace.root / "data/sources/pets", PETS)
    for key, value in {"dataset.name": "pets", "preprocess.size": 16}.items():
        workspace.set(key, value)
    workspace.run("dvc", "add", "--quiet", "data/sources/pets")
    assert workspace.repro() == [*STAGES]
    workspace.commit("Pets")
    return workspace


def change_a_picture(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()  # DVC protects what its cache is linked to
        Image.new("RGB", (30, 30), "red").save(folder / name)

    return change


CHANGES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "nothing": (lambda _: None, ()),
    "a picture added": (
        lambda folder: shutil.copy(folder / "cat/001.png", folder / "dog/new.png"),
        STAGES,
    ),
    "a training picture changed": (change_a_picture("cat/003.png"), STAGES),
    "a test picture changed": (
        change_a_picture("cat/001.png"),
        ("download", "preprocess", "evaluate"),
    ),
    "a picture removed": (lambda folder: (folder / "cat/001.png").unlink(), STAGES),
    "a picture moved to another class": (
        lambda folder: (folder / "cat/001.png").rename(folder / "dog/new.png"),
        STAGES,
    ),
    "a picture renamed, in the same order": (
        lambda folder: (folder / "cat/001.png").rename(folder / "cat/0010.png"),
        STAGES[:2],
    ),
    "another dataset": (lambda folder: (folder.parent / "digits/README.md").write_text("x"), ()),
}


@pytest.mark.long(*CONCERNED, "dvc.yaml")
@pytest.mark.parametrize("case", CHANGES)
def test_a_change_reruns_what_depends_on_it(case: str, own: Workspace, tmp_path: Path) -> None:
    change, stages = CHANGES[case]
    workspace = own.copy(tmp_path / "repository")
    change(workspace.root / "data/sources/pets")
    assert workspace.repro() == [*stages]
    assert workspace.repro() == []


@pytest.mark.nightly
@pytest.mark.long(*CONCERNED, "dvc.yaml", "experiments")
def test_experiments_outside_the_workspace(own: Workspace, tmp_path: Path) -> None:
    workspace = own.copy(tmp_path / "repository")
    workspace.run("dvc", "exp", "run", "--temp", "-S", "train.seed=1")
    grid = ("-S", "dataset.name=pets,digits", "-S", "train.seed=2,3")
    workspace.run("dvc", "exp", "run", "--queue", *grid)
    workspace.run("dvc", "exp", "run", "--run-all", "--jobs", "1")
    names = workspace.run("dvc", "exp", "list", "--names-only").stdout.split()
    assert len(names) == 5


@pytest.mark.long(*CONCERNED, "dvc.yaml")
def test_each_size_is_made_anew(own: Workspace, tmp_path: Path) -> None:
    """DVC's run cache leaves every key out that is called size."""
    workspace = own.copy(tmp_path / "repository")
    for size in (24, 16, 24):
        workspace.set("preprocess.size", size)
        workspace.run("dvc", "repro", "preprocess")
        metrics = json.loads((workspace.root / "metrics/preprocess.json").read_text())
        assert metrics["shape"] == [size, size, 3]


def test_a_name_without_a_folder(fresh: Workspace, tmp_path: Path) -> None:
    workspace = fresh.copy(tmp_path / "repository")
    workspace.set("dataset.name", "digitz")
    done = workspace.run("make", *shlex.split(WITHOUT_SETUP), "repro", check=False)
    assert done.returncode
    assert "dataset.name: found 'digitz', expected a folder in data/sources, such as" in done.stderr
    assert "did you mean digits?" in done.stderr
    assert "Errno" not in done.stderr

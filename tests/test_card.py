"""The model card: its metadata as Hugging Face reads them, and its text as a stranger reads it."""

import html
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline import card, paths, score
from pipeline.artifacts import csv_bytes, json_bytes
from pipeline.gate import freshness
from pipeline.program import printable
from pipeline.records import HISTORY_COLUMNS
from tests.gate.repository import Repository
from tests.gate.support import predictions
from tests.support import Start, Workspace, set_param, suite_params

CONCERNED = ("pipeline/card", "pipeline/artifacts.py", "pipeline/predict.py", "pipeline/training")


def parts(text: str) -> tuple[dict[str, Any], str]:
    """The metadata and the Markdown below, as huggingface_hub separates them."""
    found = re.match(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    assert found
    return yaml.safe_load(found[1]), found[2]


def results(metadata: dict[str, Any]) -> dict[str, float]:
    """The metrics in `model-index`, where huggingface_hub 2.4, repocard_data.py, requires them."""
    (model,) = metadata["model-index"]
    (result,) = model["results"]
    assert model["name"]
    assert result["task"]["type"] == metadata["pipeline_tag"]
    assert {*result["dataset"]} == {"type", "name", "split"}
    assert all({*metric} == {"type", "value", "name"} for metric in result["metrics"])
    return {metric["type"]: metric["value"] for metric in result["metrics"]}


def tables(markdown: str) -> Iterable[list[list[str]]]:
    """The cells of each table, row by row; all rows of one have as many."""
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        rows = [line[2:-2].split(" | ") for line in table.replace("| |", "|  |").splitlines()]
        yield rows[:1] + rows[2:]


def test_the_card_of_a_run(
    workspace: Workspace, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.root)
    assert start("pipeline.card") == (0, "MODEL_CARD.md\n", "")
    text = Path("MODEL_CARD.md").read_text()
    metadata, body = parts(text)
    scored = json.loads(Path("metrics/evaluate.json").read_text())
    assert results(metadata) == {"accuracy": pytest.approx(scored["accuracy"], abs=1e-6)}
    assert {key: metadata[key] for key in metadata if key != "model-index"} == {
        "license": "mit",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "keras", "dvc"],
        "metrics": ["accuracy"],
    }
    weights = json.loads(Path("metrics/train.json").read_text())["weights"]
    low, high = scored["accuracy_interval"]["low"], scored["accuracy_interval"]["high"]
    for shown in (
        "an image of 8x8 pixels in grey into one of 10 classes. Of the 360 test images",
        f"right (95% interval {low:.2%} to {high:.2%})",
        f"`mlp` with {weights:,} weights",
        "> stored as IDX. Licence: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/).",
        "| train-images-idx3-ubyte.gz | 35,546 | `SHA-256 cf1c7a31f6d9d81",
        "The dataset names its test images. The validation images are 10% of its training images,",
        "hidden_units:\n    - 64\n",
        f"| Calibration error | {scored['calibration_error']:.2%} |",
    ):
        assert shown in body
    for line in Path("dvc.lock").read_text().splitlines():
        if "md5: " in line and ".dir" in line:
            assert line.split()[-1] in body  # every folder that a stage wrote or read
    assert workspace.run("git", "status", "--porcelain").stdout == ""  # it is ignored

    start("pipeline.card", "--out", "again/card.md", "--license", "cc-by-4.0")
    again = Path("again/card.md").read_text()
    assert again.replace("cc-by-4.0", "mit") == text


@pytest.mark.long(*CONCERNED)
def test_what_the_card_says_about_its_use(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run("python", "-m", "pipeline.card")
    code = re.findall(
        r"```python\n(.*?)```", (workspace.root / "MODEL_CARD.md").read_text(), re.DOTALL
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.keras").write_bytes((workspace.root / paths.MODEL).read_bytes())
    test = workspace.root / paths.TEST / "images.npy"
    (snippet,) = (re.sub(r"np.zeros\(.*\)", f"np.load({str(test)!r})", one) for one in code)
    done = Workspace(elsewhere).run("python", "-c", snippet)
    answers = [line for line in done.stdout.splitlines() if re.fullmatch(r"\d", line)]
    rows = (workspace.root / paths.PREDICTIONS).read_text().splitlines()[1:]
    assert answers == [row.split(",")[2] for row in rows]


Make = Callable[..., str]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes the results of a model that takes the images in `wrong` for the next class."""
    root = tmp_path / "own"
    repository = Repository.create(root)
    monkeypatch.chdir(root)
    monkeypatch.setattr(freshness, "check_status", lambda: None)  # dvc.lock has a made-up digest
    (root / "data/sources/own").mkdir(parents=True)

    def write(
        labels: Iterable[int],
        names: tuple[str, ...],
        *,
        wrong: Iterable[int] = (),
        train: Iterable[int] | None = None,
        params: dict[str, object] | None = None,
        **preprocessed: object,
    ) -> str:
        given = np.array([*labels])
        repository.write(wrong, given, names)
        (root / paths.PARAMS).write_text(suite_params())
        for key, value in ({"dataset.name": "own"} | (params or {})).items():
            set_param(root / paths.PARAMS, key, value)
        found = predictions(wrong, given, len(names))
        test = np.bincount(given, minlength=len(names)).tolist()
        splits = {"train": train or test, "validation": test, "test": test}
        images = {
            split: {
                "per_class": [
                    {"class": name, "images": count}
                    for name, count in zip(names, counts, strict=True)
                ]
            }
            for split, counts in splits.items()
        }
        duplicates = {"train_in_test": 0, "train_in_validation": 0, "validation_in_test": 0}
        files: dict[Path, dict[str, Any]] = {
            paths.DOWNLOAD_METRICS: {
                "dataset": "own",
                "bytes": 3,
                "file_count": 1,
                "sha256": "0" * 64,
            },
            paths.PREPROCESS_METRICS: {
                "images": images,
                "shape": [4, 5],
                "pixels": {"largest": 255},
                "duplicates": duplicates,
                **preprocessed,
            },
            paths.TRAIN_METRICS: {
                "weights": 1_234,
                "final": {"accuracy": 0.99999, "val_accuracy": 0.5},
                "best": {"epoch": 1, "val_accuracy": 0.5},
            },
            paths.EVALUATE_METRICS: score.score(found, names, loss=0.25, bins=15),
        }
        for path, content in files.items():
            (root / path).write_bytes(json_bytes(content))
        rows = [[1] * len(HISTORY_COLUMNS), [2] * len(HISTORY_COLUMNS)]
        (root / paths.HISTORY).write_bytes(csv_bytes(HISTORY_COLUMNS, rows))
        repository.lock()
        repository.git("add", "--all")
        return card.card()

    return write


def test_an_uneven_dataset_by_hand(make: Make) -> None:
    # Of 8 and 2 images, one of the second class is taken for the first.
    metadata, body = parts(make([0] * 8 + [1] * 2, ("cat", "dog"), wrong=[8], train=[80, 20]))
    assert results(metadata) == {
        "accuracy": 0.9,
        "balanced_accuracy": 0.75,
        "f1": pytest.approx((16 / 17 + 2 / 3) / 2, abs=1e-6),
    }
    assert metadata["metrics"] == ["accuracy", "f1"]
    assert re.search(r"\| Balanced accuracy \| 75.00% \| \d+.\d\d% to 100.00% \|", body)
    assert "| Macro F1 | 80.39% |" in body
    assert "| dog | 2 | 50.00% | 9.45% to 90.55% | 100.00% |" in body
    assert "| dog | cat | 1 | 50.00% |" in body
    assert "Always answering cat, the most frequent\nclass in training, would get 80.00%" in body
    assert "- It does worst on the class dog: 50.00% of 2 images" in body
    assert "- It has learned from 20 to 80 images of a class, fewest of dog." in body
    # 0.94313 is the probability of every answer.
    assert "On average it is 94.31%, and 90.00% are right." in body
    assert "| Calibration error | 4.31% |" in body
    assert "| 90% | 10 | 90.00% |\n| 99% | 0 |  |" in body
    assert "in which it got 99.99% of the training images right" in body  # not 100%
    assert "1 file, 3 bytes" in body
    assert "`data/sources/own`, the dataset's folder, says nothing of its origin." in body


HOSTILE = (
    "a|b", "`c`", "<script>", "d\ne", "*f*", "[g](http://h)", r"\i", "&lt;", "---", "{{ j }}",
    "x" * 200, "ﷺ\u202e",
)  # fmt: skip


def test_names_are_text(make: Make) -> None:
    labels = np.repeat(np.arange(len(HOSTILE)), 2)
    metadata, body = parts(make(labels, HOSTILE, wrong=[*range(0, len(labels), 2)]))
    assert metadata["model-index"][0]["results"][0]["dataset"]["type"] == "own"
    expected = [" ".join(printable(name).split()) for name in HOSTILE]
    found = [*tables(body)]
    for table in found:
        assert len({len(row) for row in table}) == 1
    named = [[html.unescape(row[0]) for row in table[1:]] for table in found]
    assert named.count(expected) == 1  # of the results; that of the data has a row for all, too
    assert [*expected, "**all**"] in named
    assert "<script>" not in body


def test_many_classes_in_colour(make: Make) -> None:
    names = tuple(f"bird {number}" for number in range(300))
    labels = np.repeat(np.arange(300), 3)
    shape = [64, 48, 3]
    _, body = parts(make(labels, names, wrong=range(0, 150, 2), shape=shape))
    assert "an image of 64x48 pixels in colour into one of 300 classes" in body
    assert "bird 29 and 270 more" in body
    assert "images = np.zeros((1, 64, 48, 3), np.uint8)" in body
    assert "### The 30 of 300 classes with the lowest accuracy" in body
    assert "Images of a class:\n\n| | training | validation | test |" in body
    assert "| median | 3 | 3 | 3 |" in body
    assert len(body) < 10_000


SAID: dict[str, tuple[dict[str, Any], str]] = {
    "held out": (
        {"train": [30, 30]},
        "The test images are 20% of the dataset's images, unless it names some of its own.",
    ),
    "validation is test": (
        {"params": {"preprocess.validation": "test"}},
        "If settings were chosen by them, the accuracy is too high.",
    ),
    "duplicates": (
        {
            "duplicates": {"train_in_test": 7, "train_in_validation": 0, "validation_in_test": 0},
        },
        "- 7 images that it learned from are also among the test images",
    ),
    "duplicates removed": (
        {
            "duplicates": {"train_in_test": 1, "train_in_validation": 0, "validation_in_test": 0},
            "params": {"preprocess.duplicates": "remove"},
        },
        "1 image of `train` is in `test`, too, to the pixel, and left out.",
    ),
    "the last weights": (
        {"train": [33, 33]},
        "in 2 epochs, 6 steps in all.\nThe model is that after the last epoch, in which it got",
    ),
    "the best weights": (
        {"params": {"train.keep": "best", "train.patience": 1, "train.epochs": 9}},
        "better.\nThe model is that after epoch 1, the first with the highest validation accuracy,",
    ),
    "averaged weights": (
        {"params": {"train.average": 0.99}},
        "the last epoch, with a moving average of the weights, in which",
    ),
    "no mistake": ({}, "### Most frequent mistakes\nNone.\n"),
    "cut to size": ({"params": {"preprocess.fit": "crop"}}, "it is cropped to its middle."),
}


@pytest.mark.parametrize("case", SAID)
def test_what_it_says_depends_on_the_results(case: str, make: Make) -> None:
    changes, sentence = SAID[case]
    labels = [0] * 10 + [1] * 10
    assert sentence in make(labels, ("cat", "dog"), **changes)


def test_a_class_without_test_images(make: Make) -> None:
    body = make([0, 0, 1], ("cat", "dog", "emu"), wrong=[2], train=[3, 3, 3])
    assert "- No test image shows emu: nothing is known of how it does there." in body
    assert "| emu | 0 |  |  | 0.00% |" in body


def test_handwriting_is_brought_into_mnists_form(make: Make) -> None:
    Path("data/sources/own/dataset.yaml").write_text("prepare: mnist\n")
    assert "is brought into MNIST's form: light on black" in make([0, 1], ("cat", "dog"))


@pytest.mark.usefixtures("make")
def test_a_dataset_that_says_where_it_is_from(make: Make) -> None:
    folder = Path("data/sources/own")
    (folder / "dataset.yaml").write_text("# Taken by *me*,\n#  CC0.\nclass_names: []\n# not this\n")
    long = "\n".join(["# Pets", "", "From the *shelter*.", *map(str, range(50))])
    (folder / "README.md").write_text(long)
    body = make([0, 1], ("cat", "dog"))
    quoted = [line for line in body.splitlines() if line.startswith(">")]
    assert quoted[:5] == [
        "> Taken by &#42;me&#42;, CC0.", ">", "> **Pets**", "> ", "> From the *shelter*.",
    ]  # fmt: skip
    assert quoted[-1] == "> … and 13 more lines"
    assert "not this" not in body


def unlink(path: Path) -> Callable[[], None]:
    return path.unlink


def edit(path: Path, old: str, new: str, *, forge: bool) -> Callable[[], None]:
    def change() -> None:
        Repository(Path()).edit(path, old, new)
        if forge:
            Repository(Path()).lock()

    return change


REFUSED: dict[str, tuple[Callable[[], None], int, str]] = {
    "no results": (unlink(paths.PREDICTIONS), 2, "here: metrics/predictions.csv: cannot be read"),
    "no lock": (unlink(paths.LOCK), 2, "here: dvc.lock: cannot be read"),
    "stale": (
        edit(paths.PARAMS, "epochs: 2", "epochs: 3", forge=False),
        2,
        "stale: train in params.yaml has changed since the last run; run dvc repro",
    ),
    "a better accuracy": (
        edit(paths.EVALUATE_METRICS, '"errors": 1', '"errors": 0', forge=True),
        4,
        "metrics/evaluate.json: errors is 0, but 1 by the predictions; run dvc repro",
    ),
    "an older version": (
        edit(paths.TRAIN_METRICS, '"weights"', '"parameters"', forge=True),
        2,
        "metrics: not as this version writes it, near 'weights'; run dvc repro",
    ),
    "no dataset": (
        lambda: Path("data/sources/own").rmdir(),
        2,
        "params.yaml: dataset.name: found 'own', expected a folder in data/sources",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, make: Make, start: Start) -> None:
    make([0, 0, 1], ("cat", "dog"), wrong=[2])
    change, expected, message = REFUSED[case]
    change()
    code, output, errors = start("pipeline.card")
    assert (code, output, errors.count("\n")) == (expected, "", 1)
    assert errors.startswith(f"card: {message}")
    assert not Path("MODEL_CARD.md").exists()


def test_a_licence_that_cannot_be_one(start: Start) -> None:
    code, _, errors = start("pipeline.card", "--license", "My own")
    assert (code, errors.count("\n")) == (2, 1)
    assert "found 'My own', expected a name of https://huggingface.co/docs" in errors

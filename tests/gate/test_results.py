"""What results are refused. dvc.lock is forged to agree where nothing else is said."""

import pytest

from pipeline import paths
from pipeline.artifacts import json_bytes
from pipeline.errors import InputError, IntegrityError
from pipeline.gate import results
from pipeline.score import agreement
from tests.gate.support import (
    CLASSES,
    EQUAL,
    LABELS,
    Change,
    Files,
    edited,
    lock,
    predictions,
    removed,
    replaced,
    run,
    source,
)

DOWNLOAD, PREPROCESS, PREDICTIONS, LOCK = (
    paths.DOWNLOAD_METRICS,
    paths.PREPROCESS_METRICS,
    paths.PREDICTIONS,
    paths.LOCK,
)
HEADER = "index,actual,predicted,probability\n"
ROWS = [f"{i},{LABELS[i]},{(LABELS[i] + (i in EQUAL)) % 10},0.943130\n" for i in range(2_000)]


REFUSED: dict[str, tuple[Change, str]] = {
    "predictions missing": (removed(PREDICTIONS), "metrics/predictions.csv: no such file"),
    "predictions empty": (
        replaced(PREDICTIONS, b""),
        "found columns none, expected index,actual,predicted,probability",
    ),
    "predictions not text": (replaced(PREDICTIONS, b"\xff\xfe"), "is not CSV ('utf-8' codec"),
    "predictions without rows": (replaced(PREDICTIONS, HEADER.encode()), "found no row"),
    "a mistake corrected by hand": (
        edited(PREDICTIONS, ROWS[1], f"1,{LABELS[1]},{LABELS[1]},0.943130\n", forge=False),
        "metrics/predictions.csv: is not what the run wrote according to dvc.lock",
    ),
    "a mistake relabelled": (
        edited(PREDICTIONS, ROWS[1], f"1,{(LABELS[1] + 1) % 10},{(LABELS[1] + 1) % 10},0.94\n"),
        "images of class ",
    ),
    "a column missing": (
        edited(PREDICTIONS, ",actual", ""),
        "found columns index,predicted,probability, expected index,actual,predicted,probability",
    ),
    "columns exchanged": (
        edited(PREDICTIONS, "actual,predicted", "predicted,actual"),
        "found columns index,predicted,actual,probability",
    ),
    "a value missing": (
        edited(PREDICTIONS, ROWS[4], "4,1,1\n"),
        "row 5: found 3 values, expected 4",
    ),
    "rows exchanged": (
        edited(PREDICTIONS, ROWS[0] + ROWS[1], ROWS[1] + ROWS[0]),
        "row 1: found index 1, expected 0, every image once and in order",
    ),
    "an index twice": (
        edited(PREDICTIONS, ROWS[1], ROWS[0]),
        "row 2: found index 0, expected 1, every image once and in order",
    ),
    "a mistake left out": (
        edited(PREDICTIONS, ROWS[1], ""),
        "row 2: found index 2, expected 1",
    ),
    "the last image left out": (
        edited(PREDICTIONS, ROWS[-1], ""),
        "images of class ",
    ),
    "an image too many": (
        edited(PREDICTIONS, ROWS[-1], ROWS[-1] + "2000,1,1,0.9\n"),
        "images of class ",
    ),
    "an index with a space": (
        edited(PREDICTIONS, ROWS[2], f" {ROWS[2]}"),
        "row 3: found index  2, expected 2",
    ),
    "an unknown class": (
        edited(PREDICTIONS, ROWS[2], f"2,{LABELS[2]},nan,0.9\n"),
        "row 3: found class 'nan', expected one of 0, 1",
    ),
    "a probability NaN": (
        edited(PREDICTIONS, ROWS[0], ROWS[0].replace("0.943130", "nan")),
        "row 1: found probability nan, expected 0 to 1",
    ),
    "a probability above 1": (
        edited(PREDICTIONS, ROWS[0], ROWS[0].replace("0.943130", "1.5")),
        "row 1: found probability 1.5, expected 0 to 1",
    ),
    "a probability that is no number": (
        edited(PREDICTIONS, ROWS[0], ROWS[0].replace("0.943130", "high")),
        "row 1: found probability high, expected 0 to 1",
    ),
    "counts unknown": (
        edited(PREPROCESS, "per_class", "per_kind"),
        "preprocess.json: does not say how many test images of each class",
    ),
    "counts not JSON": (replaced(PREPROCESS, b"{"), "metrics/preprocess.json: is not JSON"),
    "counts a list": (
        replaced(PREPROCESS, b"[]"),
        "metrics/preprocess.json: found a list, expected an object",
    ),
    "a count infinite": (
        edited(PREPROCESS, '"images": ', '"images": 1e999, "was": '),
        "metrics/preprocess.json: found 1e999, expected finite numbers",
    ),
    "a class renamed": (
        edited(PREPROCESS, '"class": "3"', '"class": "x"'),
        "found class '3', expected one of 0, 1, 2, x, 4",
    ),
    "the dataset edited": (
        edited(DOWNLOAD, "mnist", "other", forge=False),
        "metrics/download.json: is not what the run wrote",
    ),
    "scored before it was trained again": (
        lambda files: lock(files, read="3" * 32),
        "dvc.lock: models/model.keras was made again after a stage had read it",
    ),
    "dvc.lock without predictions": (
        edited(LOCK, str(PREDICTIONS), "metrics/others.csv", forge=False),
        "metrics/predictions.csv: is not what the run wrote",
    ),
    "dvc.lock without test images": (
        edited(LOCK, "data/processed/test", "data/processed/tset", forge=False),
        "dvc.lock: does not say which test images there were",
    ),
    "dvc.lock missing": (removed(LOCK), "dvc.lock: no such file"),
    "dvc.lock of a merge conflict": (
        edited(LOCK, "schema", "<<<<<<< HEAD\nschema", forge=False),
        "dvc.lock: is not YAML",
    ),
    "dvc.lock damaged": (
        replaced(LOCK, b"stages: {train: 1}\n", forge=False),
        "dvc.lock: is damaged",
    ),
    "dvc.lock empty": (replaced(LOCK, b"", forge=False), "dvc.lock: is damaged"),
}


def test_results_by_hand() -> None:
    found = results.load(source(run(EQUAL)))
    assert found.class_names == CLASSES
    assert found.accuracy == 1 - 30 / 2_000
    assert found.predictions.predicted.tolist() == predictions(EQUAL).predicted.tolist()
    sevens = [i for i in range(2_000) if LABELS[i] == 7]
    wrong = len([i for i in sevens if i in EQUAL])
    assert found.accuracy_per_class[7] == 1 - wrong / len(sevens)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case: str) -> None:
    change, message = REFUSED[case]
    files = run(EQUAL)
    change(files)
    with pytest.raises(InputError) as error:
        results.load(source(files, "there"))
    text = str(error.value)
    assert message in text
    assert "\n" not in text
    assert text.startswith("there: ")
    assert text.endswith("; do something")


METRICS = agreement(predictions(range(30)), CLASSES) | {"loss": 0.1}
TRUE = f'"accuracy": {METRICS["accuracy"]},\n  "accuracy_interval"'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (TRUE, TRUE.replace("0.985", "0.995"), "accuracy is 0.995, but 0.985 by the predictions"),
        (TRUE, TRUE.replace("0.985", '"0.985"'), 'accuracy is "0.985", but 0.985'),
        (TRUE, TRUE.replace("0.985", "true"), "accuracy is true, but 0.985"),
        ('"errors": 30', '"errors": 20', "errors is 20, but 30"),
        ('"low": 0.97', '"low": 0.98', "accuracy_interval is"),
        ('"class": "4"', '"class": "5"', "accuracy_per_class is"),
    ],
)
def test_metrics_that_do_not_follow_from_the_predictions(old: str, new: str, message: str) -> None:
    files: Files = run(range(30))
    files[paths.EVALUATE_METRICS] = json_bytes(METRICS)
    results.check_metrics(source(files))
    edited(paths.EVALUATE_METRICS, old, new)(files)
    with pytest.raises(IntegrityError) as error:
        results.check_metrics(source(files))
    assert f"metrics/evaluate.json: {message}" in str(error.value)


def test_numbers_are_close_up_to_their_last_digits() -> None:
    assert results.close({"a": [0.1, 2]}, {"a": [0.1 + 1e-12, 2]})
    assert not results.close({"a": [0.1, 2]}, {"a": [0.1 + 1e-6, 2]})
    assert not results.close({"a": 1}, {"a": 1, "b": 2})

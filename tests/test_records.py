"""The tables and formats of a run. Damaged predictions are in gate/test_results.py."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import records
from pipeline.artifacts import json_bytes
from pipeline.errors import InputError
from pipeline.records import Predictions

HISTORY: dict[str, list[float]] = {
    "loss": [0.5, 0.25],
    "accuracy": [0.75, 1.0],
    "val_loss": [1, 2],
    "val_accuracy": [0, 1],
}


def test_history_by_hand() -> None:
    content = records.history_bytes(HISTORY)
    assert content == (
        b"epoch,loss,accuracy,val_loss,val_accuracy\n1,0.5,0.75,1,0\n2,0.25,1.0,2,1\n"
    )
    found = records.read_history(content, "history.csv")
    assert {name: column.tolist() for name, column in found.items()} == {
        "epoch": [1, 2],
        **HISTORY,
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found columns none, expected epoch,loss,accuracy,val_loss,val_accuracy"),
        (b"epoch,loss\n1,2\n", "found columns epoch,loss, expected"),
        (b"epoch,loss,accuracy,val_loss,val_accuracy\n", "found no epoch"),
        (b"epoch,loss,accuracy,val_loss,val_accuracy\n1,2,3,4\n", "row 1: found 4 values"),
        (b"epoch,loss,accuracy,val_loss,val_accuracy\n1,2,x,4,5\n", "is damaged (could not"),
        (b'epoch,loss,accuracy,val_loss,val_accuracy\n"1,2,x,4,5\n', "is not CSV"),
        (b"\xff", "is not CSV"),
    ],
)
def test_a_damaged_history(content: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        records.read_history(content, "history.csv")
    assert str(error.value).startswith(f"history.csv: {message}")


def test_predictions_by_hand() -> None:
    found = Predictions(np.array([0, 1]), np.array([1, 1]), np.array([0.5, 1 / 3]))
    assert found.correct.tolist() == [False, True]
    content = records.predictions_bytes(found, ("a", "b, c"))
    assert content == (
        b'index,actual,predicted,probability\n0,a,"b, c",0.500000\n1,"b, c","b, c",0.333333\n'
    )


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.floats(0, 1)), min_size=1),
    st.lists(st.text(min_size=1).filter(str.isprintable), min_size=3, max_size=3, unique=True),
)
def test_predictions_come_back(rows: list[tuple[int, int, float]], names: list[str]) -> None:
    labels, predicted, probability = map(np.array, zip(*rows, strict=True))
    content = records.predictions_bytes(Predictions(labels, predicted, probability), names)
    found = records.read_predictions(content, "predictions.csv", names)
    assert found.labels.tolist() == labels.tolist()
    assert found.predicted.tolist() == predicted.tolist()
    np.testing.assert_allclose(found.probability, probability, atol=5.1e-7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON (Expecting value"),
        (b"\xff", "is not JSON ('utf-8' codec"),
        (b"[1]", "found a list, expected an object"),
        (b'{"a": NaN}', "found NaN, expected finite numbers"),
        (b'{"a": -Infinity}', "found -Infinity, expected finite numbers"),
        (b'{"a": 1e999}', "found 1e999, expected finite numbers"),
        (b"[" * 100_000, "is not JSON (maximum recursion"),
    ],
)
def test_json_that_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        records.read_json(content, "metrics.json")
    assert str(error.value).startswith(f"metrics.json: {message}")
    assert "\n" not in str(error.value)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=30)
@given(st.dictionaries(st.text(), values))
def test_json_comes_back(content: dict[str, object]) -> None:
    try:
        encoded = json_bytes(content)
    except ValueError:  # an infinite number
        assert "Infinity" in json.dumps(content)
    else:
        assert records.read_json(encoded, "metrics.json") == content


def test_flat_by_hand() -> None:
    content = {"a": {"b": {"c": 1}, "d": [2]}, "e": {}, "f": [{"g": 3}]}
    assert dict(records.flat(content)) == {"a.b.c": 1, "a.d": [2], "e": {}}

"""What a search may choose from, what it tries, and how it goes on."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import batch, results, search, sets, space
from experiments.space import Choice, Range
from pipeline.errors import BusyError, InputError, TrainingError
from tests.experiments.support import Made
from tests.support import Start, Workspace, suite_params

BASE = sets.values(suite_params().encode(), "params.yaml")
SPACE = "train.learning_rate=log:1e-4..1e-1 train.epochs=1..3 model.mlp.hidden_units=[8],[16]"


def test_ranges_and_choices() -> None:
    assert space.parse(f"{SPACE} model.mlp.dropout=0..0.5 train.optimizer=adam,sgd", BASE) == {
        "train.learning_rate": Range(0.0001, 0.1, log=True),
        "train.epochs": Range(1, 3, log=False),
        "model.mlp.hidden_units": Choice(("[8]", "[16]")),
        "model.mlp.dropout": Range(0.0, 0.5, log=False),
        "train.optimizer": Choice(('"adam"', '"sgd"')),
    }
    assert [
        space.parse(f"{key}=1..2", BASE)[key] for key in ("train.epochs", "augment.rotation")
    ] == [
        Range(1, 2, log=False),
        Range(1.0, 2.0, log=False),
    ]
    assert Range(1, 2, log=False).whole
    assert not Range(1.0, 2.0, log=False).whole


@given(st.floats(1e-9, 5), st.floats(5.1, 10))
def test_the_ends_are_those_that_are_written(low: float, high: float) -> None:
    key = "train.learning_rate"
    assert space.parse(f"{key}={low!r}..{high!r}", BASE) == {key: Range(low, high, log=False)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "SPACE is missing; such as SPACE='"),
        (
            "train.learning_rate=0.1..0.01",
            "SPACE: found train.learning_rate=0.1..0.01, expected LOW",
        ),
        (
            "model.mlp.dropout=log:0..0.5",
            "SPACE: found model.mlp.dropout=log:0..0.5, expected 0 < L",
        ),
        ("model.mlp.dropout=0..1", "SPACE: model.mlp.dropout: found 1.0, expected a number from 0"),
        ("train.epochs=1..2.5", "SPACE: train.epochs: found 2.5, expected a whole number"),
        (
            "train.learning_rate=0.1..much",
            "SPACE: found train.learning_rate=0.1..much, expected a n",
        ),
        (
            "train.learning_rate=0.1...inf",
            "SPACE: found train.learning_rate=0.1...inf, expected a n",
        ),
        ("train.rate=0.1..0.2", "SPACE: train.rate: unknown key, expected only epochs"),
        ("preprocess.seed=1..5", "SPACE: preprocess.seed decides which images validate"),
    ],
)
def test_what_is_refused(
    text: str, message: str, fresh: Workspace, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.chdir(fresh.root)
    code, out, errors = start("experiments.search", text)
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert errors.startswith(f"search: {message}")


def test_the_test_images_choose_nothing(
    fresh: Workspace, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.chdir(fresh.root)
    code, _, errors = start("experiments.search", "train.seed=1..5", "--name=mlp-best")
    assert (code, errors.count("\n")) == (2, 1)
    assert "preprocess.validation is test, and the test images choose nothing" in errors


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Made]:
    """The experiments that have run, one after the other; they are good at small rates."""
    pytest.importorskip("optuna")
    found: dict[str, Made] = {}
    monkeypatch.chdir(tmp_path)
    search.STUDIES.mkdir(parents=True)
    monkeypatch.setattr(results, "finished", lambda: found)
    return found


def begin(trials: int, seed: int = 0) -> search.Search:
    return search.Search(BASE, space.parse(SPACE, BASE), trials, seed, "abcdef")


def go_on(
    study: search.Search, ran: dict[str, Made], most: int = 99
) -> Iterator[tuple[str, Mapping[str, object]]]:
    for count, (name, wanted) in enumerate(study.asks()):
        if count == most:
            return
        yield name, {key: wanted[key] for key in study.space}
        ran[name] = Made(name, [1 - float(str(wanted["train.learning_rate"]))])
        study.tell(name, "")


def test_a_search_that_was_stopped_makes_the_same_choices(
    ran: dict[str, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [*go_on(begin(14), ran)]
    assert [name for name, _ in whole] == [f"search-abcdef-{number}" for number in range(1, 15)]
    assert len({str(values) for _, values in whole}) == 14
    for _, values in whole:
        assert 1e-4 <= float(str(values["train.learning_rate"])) <= 0.1
        assert values["train.epochs"] in (1, 2, 3)
        assert values["model.mlp.hidden_units"] in ([8], [16])

    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    search.STUDIES.mkdir(parents=True)
    ran.clear()
    first = [*go_on(begin(14), ran, most=11)]  # the twelfth was asked for, and has no result
    rest = [*go_on(begin(14), ran)]
    assert first + rest == whole
    assert [*go_on(begin(14), ran)] == []
    assert len([*go_on(begin(16), ran)]) == 2


def test_what_ended_before_it_was_noted_is_not_run_again(ran: dict[str, Made]) -> None:
    study = begin(3)
    name, _ = next(study.asks())
    ran[name] = Made(name, [0.5])
    assert [name for name, _ in go_on(begin(3), ran)] == ["search-abcdef-2", "search-abcdef-3"]
    assert "val_accuracy 0.5000  search-abcdef-1" in "\n".join(begin(3).report())


def test_the_report(ran: dict[str, Made]) -> None:
    study = begin(3)
    values = {1: [0.9, 0.25], 3: [0.1, 0.75]}
    for number, (name, _) in enumerate(study.asks(), start=1):
        if number in values:
            ran[name] = Made(name, values[number])
        study.tell(name, "" if number in values else f"{name}: failed: train: no")
    first, second, *rest = study.report()
    shape = (
        r"{}  val_accuracy {}  search-abcdef-{}  train.learning_rate=\S+ train.epochs=\d .*=\[.*\]"
    )
    assert re.fullmatch(shape.format(1, "0.7500", 3), first)
    assert re.fullmatch(shape.format(2, "0.2500", 1), second)
    assert rest == [
        "2 trials, 1 more failed",
        "to adopt the first one: dvc exp apply search-abcdef-3",
    ]


def test_no_best_of_none(ran: dict[str, Made]) -> None:
    study = begin(1)
    for name, _ in study.asks():
        study.tell(name, f"{name}: failed: train: no")
    assert ran == {}
    with pytest.raises(TrainingError, match=r"^no trial has a result\nsearch-abcdef-1: failed"):
        study.report()


@pytest.mark.usefixtures("ran")
def test_two_at_once() -> None:
    with (
        search._alone("abcdef"),  # noqa: SLF001
        pytest.raises(BusyError, match="this search is running already"),
        search._alone("abcdef"),  # noqa: SLF001
    ):
        pass


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "nan", "inf", ""])
def test_no_cores(text: str, start: Start) -> None:
    code, _, errors = start("experiments.sweep", "train.seed=1", f"--cpus={text}")
    assert (code, errors.count("\n")) == (2, 1)
    assert f"found {text}, expected a whole number, or a share between 0 and 1" in errors


def test_a_base_that_is_refused() -> None:
    with pytest.raises(InputError, match="test images choose nothing"):
        search.check(BASE | {"preprocess.validation": "test"}, {})
    assert batch.epochs_of(BASE) == 2

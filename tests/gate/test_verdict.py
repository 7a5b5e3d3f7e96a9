"""The decision between two models, and how it is told."""

import dataclasses
import json
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts import json_bytes
from pipeline.gate import text, verdict
from pipeline.gate.results import Results
from pipeline.gate.statistics import INFLUENCES
from pipeline.params import Gate
from pipeline.records import Predictions
from pipeline.score import METRICS
from tests.gate.support import BASELINE, BETTER, CLASSES, EQUAL, LABELS, LIMITS, WORSE, predictions

STANDARD = Gate.model_validate(LIMITS)


def results(wrong: range) -> Results:
    return Results({}, "", CLASSES, predictions(wrong))


def decided(wrong: range) -> verdict.Verdict:
    return verdict.decide(results(wrong), results(BASELINE), STANDARD, name="baseline main (1a)")


def test_an_equal_model_is_accepted() -> None:
    found = decided(EQUAL)
    assert (found.outcome, found.exit_code, found.reasons) == ("accept", 0, ())
    assert found.accuracy == 1 - 30 / 2_000
    compared = found.comparison
    assert compared is not None
    assert compared.baseline_accuracy == 1 - 30 / 2_000
    assert (compared.drop, compared.newly_right, compared.mcnemar_p) == (0, 1, 1)
    actual = LABELS[30]
    assert compared.newly_wrong == (verdict.Mistake(30, str(actual), str((actual + 1) % 10)),)
    assert compared.upper_bound == pytest.approx(1.6449 * 2**0.5 / 2_000, rel=1e-4)


def test_a_better_model_is_accepted() -> None:
    found = decided(BETTER)
    assert found.outcome == "accept"
    assert found.comparison is not None
    assert found.comparison.drop == -10 / 2_000
    assert found.comparison.newly_right == 10
    assert found.comparison.mcnemar_p == pytest.approx(2 / 2**10)


def test_a_worse_model_is_rejected_with_its_numbers() -> None:
    found = decided(WORSE)
    assert (found.outcome, found.exit_code) == ("reject", 1)
    below, drop = found.reasons
    assert below == "accuracy 97.00% is below gate.floor, 97.50%"
    # 30 newly wrong of 2,000: 1.5 points, and 1.6449·√(30 - 900/2000)/2000 more
    assert drop == (
        "the drop of 1.50 points may be as much as 1.95 (95% confidence), and gate.margin is 0.50"
    )


def test_a_class_floor() -> None:
    threes = [i for i in EQUAL if LABELS[i] == 3]
    limits = STANDARD.model_copy(update={"class_floors": {"3": 1.0, "x": 0.1}})
    found = verdict.decide(results(EQUAL), None, limits)
    accuracy = 1 - len(threes) / (LABELS == 3).sum()
    assert found.reasons == (
        f"class 3 has accuracy {accuracy:.2%}, and its floor in gate is 100.00%",
        "class x in gate.class_floors is none of the classes",
    )


@pytest.mark.parametrize("floors", [{}, {"9": 0.1}, {"9": 0.0}])
def test_a_class_without_test_images(floors: dict[str, float]) -> None:
    labels = LABELS[LABELS != 9]
    found = Results({}, "", CLASSES, predictions(range(10), labels))
    limits = STANDARD.model_copy(update={"class_floors": floors})
    decided = verdict.decide(found, None, limits)
    if floors == {"9": 0.0}:
        assert decided.outcome == "accept"
    else:
        (reason,) = decided.reasons
        assert reason.startswith("class 9 has no test image, so nothing is known about it; to acce")


def test_many_classes_without_test_images() -> None:
    names = tuple(map(str, range(200)))
    found = Results({}, "", names, predictions(range(10), LABELS, 200))
    *named, rest = verdict.decide(found, None, STANDARD).reasons
    assert [reason.split()[1] for reason in named] == list(map(str, range(10, 20)))
    assert rest == "the same of 180 more classes"


def test_of_many_classes_those_that_lost_the_most() -> None:
    labels = np.arange(400) % 200
    names = tuple(map(str, range(200)))
    here, baseline = (
        Results({}, "", names, predictions(wrong, labels, 200)) for wrong in ((7, 199, 207), (8,))
    )
    found = text.classes(verdict.decide(here, baseline, STANDARD, name="main"))
    assert [row.name for row in found[:4]] == ["7", "199", "0", "1"]
    assert (found[0].baseline, found[0].here, len(found)) == (1, 0, 30)
    alone = verdict.decide(here, None, STANDARD)
    assert [row.name for row in text.classes(alone)[:2]] == ["7", "199"]
    assert text.by_class(alone) == "By class: the 30 of 200 with the lowest accuracy"


def test_a_change_cannot_permit_a_class_without_test_images() -> None:
    permits = STANDARD.model_copy(update={"class_floors": {"9": 0.0, "8": 0.5}})
    assert verdict.stricter(STANDARD, permits).class_floors == {"8": 0.5}
    assert verdict.stricter(permits, permits).class_floors == {"9": 0.0, "8": 0.5}


def test_every_metric_has_a_name_and_an_influence() -> None:
    choices = get_args(Gate.model_fields["metric"].annotation)
    assert set(choices) == set(METRICS) == set(verdict.NAMES)
    assert set(choices) == set(INFLUENCES) | {"accuracy"}


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_the_metric_is_named(metric: str) -> None:
    limits = STANDARD.model_copy(update={"metric": metric})
    found = verdict.decide(results(WORSE), results(BASELINE), limits, name="main")
    name = verdict.NAMES[metric]
    value = METRICS[metric](predictions(WORSE), 10)
    below, drop = found.reasons
    assert below == f"{name} {value:.2%} is below gate.floor, 97.50%"
    assert f" points in {name} may be as much as " in drop
    before = METRICS[metric](predictions(BASELINE), 10)
    lines = text.console(found).splitlines()
    assert lines[2].split() == [
        *f"{name} on 2,000 images {before:.2%} {value:.2%} at least 97.50%".split()
    ]
    assert lines[3].split() == ["accuracy", "98.50%", "97.00%"]
    assert lines[4].startswith(f"drop in {name}, points")
    assert f"| {name} on 2,000 images | {before:.2%} | {value:.2%} |" in text.markdown(found)
    content = text.as_json(found)
    assert (content["accuracy"], content["value"]) == (0.97, value)
    assert content["comparison"]["baseline_value"] == before


def test_the_console() -> None:
    lines = text.console(decided(EQUAL)).splitlines()
    assert lines[0] == "gate: ACCEPT, compared with baseline main (1a)"
    assert lines[1].split() == ["baseline", "here", "limit"]
    assert lines[2].startswith("accuracy on 2,000 images")
    assert lines[-1] == "newly wrong: test image 30"
    assert text.console(decided(WORSE)).splitlines()[-3].endswith("and 24 more")


def test_json() -> None:
    content = json.loads(json_bytes(text.as_json(decided(EQUAL))))
    assert (content["outcome"], content["exit_code"], content["gated"]) == ("accept", 0, True)
    assert content["limits"] == LIMITS
    assert content["comparison"]["newly_right"] == 1


def test_markdown() -> None:
    actual = LABELS[30]
    images = (LABELS == 7).sum()
    wrong = len([i for i in EQUAL if LABELS[i] == 7])
    before = len([i for i in BASELINE if LABELS[i] == 7])
    seven = (
        f"| 7 | {images} | {1 - before / images:.2%} | {1 - wrong / images:.2%} "
        f"| {100 * (before - wrong) / images:+.2f} |"
    )
    lines = text.markdown(decided(EQUAL)).splitlines()
    assert lines[:6] == [
        "### Gate: ACCEPT, compared with baseline main (1a)",
        "",
        "",
        "|  | baseline | here | limit |",
        "|---|---|---|---|",
        "| accuracy on 2,000 images | 98.50% | 98.50% | at least 97.50% |",
    ]
    assert seven in lines
    assert lines[-3:] == [f"| 30 | {actual} | {(actual + 1) % 10} |", "", "</details>"]


def test_markdown_without_a_baseline() -> None:
    page = text.markdown(verdict.decide(results(WORSE), None, STANDARD, notes=("first",)))
    assert page.startswith("### Gate: UNGATED, REJECT by the floors alone\n\n- accuracy 97.00% is")
    assert "\n- first\n\n|  | baseline |" in page
    assert text.markdown(verdict.cannot_tell("a\nb")) == "### Gate: CANNOT TELL\n\n- a\n- b\n"


EVIL = "](http://localhost) |<img>\n# `@all`\x1b[2J"


def test_a_class_name_cannot_write_markdown_or_to_a_terminal() -> None:
    images = np.zeros(4, dtype=np.intp)
    found = Results({}, "", (EVIL, "b"), Predictions(images, images + 1, np.ones(4)))
    limits = STANDARD.model_copy(update={"class_floors": {EVIL: 0.5}})
    decided = verdict.decide(found, None, limits)
    page = text.markdown(decided)
    assert f"| {text.escape(EVIL)} | 4 |" in page
    for sign in ("](", "<img", "\n# ", "@all", "`", "\x1b"):
        assert sign not in page
    shown = text.console(decided)
    assert "\x1b" not in shown
    assert r"<img>\n# `@all`\x1b[2J has accuracy" in shown


@st.composite
def drawn_results(draw: st.DrawFn) -> Results:
    labels = draw(st.lists(st.integers(0, 2), min_size=1, max_size=40))
    count = len(labels)
    predicted = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    found = Predictions(np.array(labels), np.array(predicted), np.ones(count))
    return Results({}, "", ("a", "b", "c"), found)


shares = st.floats(0, 1)
limits = st.builds(
    Gate,
    metric=st.sampled_from([*METRICS]),
    floor=shares,
    class_floors=st.dictionaries(st.sampled_from("abc"), shares),
    margin=shares,
    confidence=st.floats(0.5, 0.999),
)


@given(drawn_results(), limits)
def test_the_same_predictions_are_accepted_if_the_floors_hold(
    results: Results, limits: Gate
) -> None:
    compared = verdict.decide(results, results, limits)
    alone = verdict.decide(results, None, limits)
    assert compared.reasons == alone.reasons
    assert (compared.outcome == "accept") == (compared.reasons == ())


@given(drawn_results(), st.integers(0, 39), limits)
def test_a_corrected_mistake_never_turns_acceptance_to_rejection(
    results: Results, position: int, limits: Gate
) -> None:
    found = results.predictions
    position %= len(found.labels)
    better = found.predicted.copy()
    better[position] = found.labels[position]
    improved = dataclasses.replace(
        results, predictions=dataclasses.replace(found, predicted=better)
    )
    if verdict.decide(improved, None, limits).outcome == "reject":
        assert verdict.decide(results, None, limits).outcome == "reject"
    compared = verdict.decide(improved, results, limits).comparison
    assert compared is not None
    assert compared.drop <= 1e-12


@given(limits, limits)
def test_the_stricter_limits_are_stricter_than_both(one: Gate, other: Gate) -> None:
    found = verdict.stricter(one, other)
    if one.metric == other.metric:
        assert found == verdict.stricter(other, one)
    for limit in (one, other):
        if limit.metric == other.metric:
            assert found.floor >= limit.floor
            assert found.margin <= limit.margin
        assert found.confidence >= limit.confidence
        for name, floor in limit.class_floors.items():
            assert found.class_floors.get(name, 0.0) >= floor

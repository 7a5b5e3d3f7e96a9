"""What may be compared, with which limits, and what tries to talk the gate into accepting."""

from collections.abc import Callable

import numpy as np
import pytest
import yaml

from pipeline import paths
from pipeline.errors import InputError
from pipeline.gate.judge import compare
from tests.gate.support import (
    BASELINE,
    BETTER,
    EQUAL,
    LABELS,
    LIMITS,
    WORSE,
    Change,
    Files,
    edited,
    limited,
    lock,
    run,
    source,
)

UNEVEN = np.repeat(np.arange(10), [40, *[100] * 8, 1_160])  # 2,000 labels, class 0 is rare


def nothing(_files: Files) -> None:
    pass


def perfect_by_its_labels() -> Files:
    labels = LABELS.copy()
    labels[[*EQUAL]] = (labels[[*EQUAL]] + 1) % 10
    return run(range(0), labels)


def other_images() -> Files:
    files = run(BETTER)
    lock(files, test="9" * 32)
    return files


def without_gate(files: Files) -> None:
    files[paths.PARAMS] = yaml.safe_dump({"train": {}}).encode()


def better_but_for_the_sixes() -> Files:
    sixes = np.flatnonzero(LABELS == 6)[:8]
    files = run(sixes.tolist())
    limited(class_floors={"6": 0.97})(files)
    return files


NOT_COMPARABLE: dict[str, tuple[Callable[[], Files], Change, str]] = {
    "all mistakes relabelled": (
        perfect_by_its_labels,
        nothing,
        "another test set: the labels are not those of the baseline",
    ),
    "another order of the images": (
        lambda: run(BETTER, np.concatenate([LABELS[99::-1], LABELS[100:]])),
        nothing,
        "another test set: the labels are",
    ),
    "fewer images": (lambda: run(BETTER, LABELS[30:]), nothing, "another test set: the labels"),
    "other images with the same labels": (other_images, nothing, "did not see the same images"),
    "another dataset": (
        lambda: run(EQUAL),
        edited(paths.DOWNLOAD_METRICS, "mnist", "other"),
        "another dataset: other here, mnist in the baseline",
    ),
    "the margin NaN": (lambda: run(WORSE), limited(margin=float("nan")), "gate.margin: found nan"),
    "the gate a number": (
        lambda: run(WORSE),
        edited(paths.PARAMS, yaml.safe_dump({"gate": LIMITS}), "gate: 3\n", forge=False),
        "here: params.yaml: gate: expected a section: metric, floor, class_floors, margin, conf",
    ),
}


@pytest.mark.parametrize("case", NOT_COMPARABLE)
def test_not_comparable(case: str) -> None:
    make, change, message = NOT_COMPARABLE[case]
    files = make()
    change(files)
    with pytest.raises(InputError) as error:
        compare(source(files), source(run(BASELINE), "baseline"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_gate_removed_everywhere() -> None:
    files, before = run(EQUAL), run(BASELINE)
    without_gate(files)
    without_gate(before)
    with pytest.raises(InputError, match=r"params.yaml: expected a section gate: metric, floor, "):
        compare(source(files), source(before, "baseline"))


def wrong_in_the_rarest_class(**limits: object) -> Files:
    files = run(range(30), UNEVEN)
    limited(**limits)(files)
    return files


def wrong_in_the_largest_class(**limits: object) -> Files:
    """As accurate as the other."""
    files = run(range(1_970, 2_000), UNEVEN)
    limited(**limits)(files)
    return files


BALANCED: dict[str, object] = {"metric": "balanced_accuracy", "floor": 0.95, "margin": 0.01}


@pytest.mark.parametrize(
    ("own", "note"),
    [
        (BALANCED, None),
        (LIMITS, "gate.metric is accuracy here and balanced_accuracy in the baseline, whose metr"),
        ({"metric": "macro_f1", "margin": 1.0, "floor": 0.0}, "gate.metric is macro_f1 here and"),
    ],
)
def test_a_change_does_not_choose_the_metric(own: dict[str, object], note: str | None) -> None:
    before = source(wrong_in_the_largest_class(**BALANCED), "baseline")
    found = compare(source(wrong_in_the_rarest_class(**own)), before)
    assert found.outcome == "reject"
    assert found.accuracy == 1 - 30 / 2_000  # as before
    assert found.limits is not None
    assert {name: getattr(found.limits, name) for name in BALANCED} == BALANCED
    below, drop = found.reasons
    assert below == "balanced accuracy 92.50% is below gate.floor, 95.00%"  # (0.25 + 9)/10
    # 30/40/10 less 30/1160/10, and 1.6449·√(30/40² + 30/1160²)/10 more
    assert drop.startswith("the drop of 7.24 points in balanced accuracy may be as much as 9.50 (")
    few, *notes = sorted(found.notes, reverse=True)
    assert few.startswith("the smallest class has 40 test images; with fewer than 50, the drop in ")
    assert [line[: len(note or "")] for line in notes] == ([note] if note else [])


def test_an_older_baseline_meant_accuracy() -> None:
    files = wrong_in_the_largest_class()
    older = {key: value for key, value in LIMITS.items() if key != "metric"}
    files[paths.PARAMS] = yaml.safe_dump({"gate": older}).encode()
    here = wrong_in_the_rarest_class(metric="balanced_accuracy", floor=0.0, margin=1.0)
    found = compare(source(here), source(files, "baseline"))
    assert found.limits is not None
    assert found.limits.model_dump() == LIMITS
    (note,) = found.notes
    assert note.startswith("gate.metric is balanced_accuracy here and accuracy in the baseline, wh")


REJECTED: dict[str, tuple[Callable[[], Files], Change, str]] = {
    "worse": (lambda: run(WORSE), nothing, "the drop of 1.50 points"),
    "the floor lowered in the same change": (
        lambda: run(WORSE),
        limited(floor=0.5),
        "gate.floor is 0.5 here and 0.975 in the baseline; the stricter one applies",
    ),
    "margin and confidence relaxed in the same change": (
        lambda: run(WORSE),
        limited(margin=0.5, confidence=0.5),
        "gate.confidence is 0.5 here and 0.95 in the baseline; the stricter one applies",
    ),
    "the gate removed in the same change": (
        lambda: run(WORSE),
        without_gate,
        "the drop of 1.50 points",
    ),
    "a class below its floor": (
        lambda: run(EQUAL),
        limited(class_floors={"3": 1.0}),
        "class 3 has accuracy 9",
    ),
    "better on the whole, worse in a class": (
        better_but_for_the_sixes,
        nothing,
        "class 6 has accuracy 9",
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_rejected(case: str) -> None:
    make, change, message = REJECTED[case]
    files = make()
    change(files)
    found = compare(source(files), source(run(BASELINE), "baseline"))
    assert found.outcome == "reject"
    assert message in "\n".join([*found.reasons, *found.notes])


def test_accepted() -> None:
    found = compare(source(run(EQUAL)), source(run(BASELINE), "baseline main"))
    assert (found.outcome, found.reasons, found.notes) == ("accept", (), ())
    assert found.title == "ACCEPT, compared with baseline main"


def test_limits_that_only_the_baseline_has() -> None:
    files = run(EQUAL)
    without_gate(files)
    found = compare(source(files), source(run(BASELINE), "baseline"))
    assert found.limits is not None
    assert found.limits.model_dump() == LIMITS


def test_other_training_images_but_the_same_test_images() -> None:
    files = run(EQUAL)
    edited(paths.DOWNLOAD_METRICS, '"sha256": "', '"sha256": "1')(files)
    found = compare(source(files), source(run(BASELINE), "baseline"))
    assert found.outcome == "accept"
    assert found.notes[0] == "trained on another edition of mnist; same test images"

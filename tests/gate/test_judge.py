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
        "another dataset: other here, mnist in the baseline, or another edition of it",
    ),
    "another edition of the dataset": (
        lambda: run(EQUAL),
        edited(paths.DOWNLOAD_METRICS, '"sha256": "', '"sha256": "1'),
        "or another edition of it",
    ),
    "the margin NaN": (lambda: run(WORSE), limited(margin=float("nan")), "gate.margin: found nan"),
    "the gate a number": (
        lambda: run(WORSE),
        edited(paths.PARAMS, yaml.safe_dump({"gate": LIMITS}), "gate: 3\n", forge=False),
        "here: params.yaml: gate: expected a section: floor, class_floors, margin, confidence",
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
    with pytest.raises(InputError, match=r"params.yaml: expected a section gate: floor, class"):
        compare(source(files), source(before, "baseline"))


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

"""Decides between two models by their predictions for the same images."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.gate.results import Results
from pipeline.gate.statistics import (
    INFLUENCES,
    discordant,
    drop_upper_bound,
    mcnemar,
    sum_upper_bound,
)
from pipeline.params import Gate

Outcome = Literal["accept", "reject", "cannot tell"]
EXIT_CODES: dict[Outcome, int] = {"accept": 0, "reject": 1, "cannot tell": 2}

NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
FEW = 50  # test images of a class, see docs/gate.md
CLASSES = 10  # of which a verdict gives the same reason by name


@dataclass(frozen=True)
class Mistake:
    """An image that only the baseline gets right."""

    index: int  # among the test images
    actual: str
    predicted: str  # by the model here


@dataclass(frozen=True)
class ClassRow:
    """One class of the test images."""

    name: str
    images: int
    baseline: float | None  # accuracy
    here: float  # accuracy


@dataclass(frozen=True)
class Comparison:
    """The model here compared with the baseline's, on the same images."""

    baseline_accuracy: float
    baseline_value: float  # of limits.metric
    drop: float  # in limits.metric, below 0 for a gain
    upper_bound: float  # of the drop
    newly_wrong: tuple[Mistake, ...]
    newly_right: int
    mcnemar_p: float


@dataclass(frozen=True)
class Verdict:
    """Whether the model here may replace the baseline's."""

    outcome: Outcome
    reasons: tuple[str, ...]  # for a person, a line each
    baseline: str | None = None
    limits: Gate | None = None
    images: int = 0
    accuracy: float | None = None
    value: float | None = None  # of limits.metric
    comparison: Comparison | None = None
    classes: tuple[ClassRow, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 accept, 1 reject, 2 cannot tell."""
        return EXIT_CODES[self.outcome]

    @property
    def title(self) -> str:
        """The verdict in a few words."""
        if self.outcome == "cannot tell":
            return "CANNOT TELL"
        if self.comparison is None:
            return f"UNGATED, {self.outcome.upper()} by the floors alone"
        return f"{self.outcome.upper()}, compared with {self.baseline}"


def cannot_tell(message: str) -> Verdict:
    """The verdict where two models cannot be compared, with the lines of `message` as reasons."""
    return Verdict("cannot tell", tuple(message.splitlines()))


def stricter(here: Gate, baseline: Gate) -> Gate:
    """The stricter one of every limit, for the metric of the baseline.

    Floor and margin of another metric cannot be compared with its own, so those apply alone. A
    class floor of 0 permits a class without test images, so both sides must have it.
    """
    floors = {
        name: max(here.class_floors.get(name, 0.0), baseline.class_floors.get(name, 0.0))
        for name in sorted(here.class_floors.keys() | baseline.class_floors.keys())
    }
    in_both = here.class_floors.keys() & baseline.class_floors.keys()
    of_the_metric = [baseline, *([here] if here.metric == baseline.metric else [])]
    return Gate(
        metric=baseline.metric,
        floor=max(side.floor for side in of_the_metric),
        class_floors={name: floor for name, floor in floors.items() if floor or name in in_both},
        margin=min(side.margin for side in of_the_metric),
        confidence=max(here.confidence, baseline.confidence),
    )


def decide(
    here: Results,
    baseline: Results | None,
    limits: Gate,
    *,
    name: str | None = None,
    notes: tuple[str, ...] = (),
) -> Verdict:
    """Applies the floors to the model here, and the margin if there is a baseline.

    Args:
        here: its results.
        baseline: those of the model to replace, on the same images.
        limits: what to apply.
        name: of the baseline.
        notes: what else a reader should know.
    """
    reasons = _below_floors(here, limits)
    comparison = None
    if baseline:
        comparison = _compare(here, baseline, limits)
        if comparison.upper_bound > limits.margin:
            reasons.append(
                f"the drop of {points(comparison.drop)} points{named(limits.metric)} may be as "
                f"much as {points(comparison.upper_bound)} ({limits.confidence:.0%} confidence), "
                f"and gate.margin is {points(limits.margin)}"
            )
        notes += _few_images(here, limits)
    return Verdict(
        "reject" if reasons else "accept",
        tuple(reasons),
        name,
        limits,
        len(here.predictions.labels),
        here.accuracy,
        here.value(limits.metric),
        comparison,
        _class_rows(here, baseline),
        notes,
    )


def named(metric: str) -> str:
    """What to add to `drop` if it is not one in accuracy."""
    return "" if metric == "accuracy" else f" in {NAMES[metric]}"


def points(share: float) -> str:
    """A share in percentage points."""
    return f"{100 * share:.2f}"


def _below_floors(here: Results, limits: Gate) -> list[str]:
    reasons = []
    value = here.value(limits.metric)
    if value < limits.floor:
        reasons.append(
            f"{NAMES[limits.metric]} {value:.2%} is below gate.floor, {limits.floor:.2%}"
        )
    by_class = dict(zip(here.class_names, here.accuracy_per_class.tolist(), strict=True))
    reasons += _first(
        f"class {name} has accuracy {by_class[name]:.2%}, and its floor in gate is {floor:.2%}"
        for name, floor in limits.class_floors.items()
        if by_class.get(name, np.nan) < floor
    )
    reasons += _first(
        f"class {name} has no test image, so nothing is known about it; to accept that, set its "
        f"floor in gate.class_floors to 0"
        for name, accuracy in by_class.items()
        if np.isnan(accuracy) and limits.class_floors.get(name) != 0
    )
    reasons += _first(
        f"class {name} in gate.class_floors is none of the classes"
        for name in sorted(limits.class_floors.keys() - by_class.keys())
    )
    return reasons


def _first(lines: Iterable[str]) -> list[str]:
    """The first lines about single classes, and how many more there are."""
    first = [*lines]
    more = len(first) - CLASSES
    return [*first[:CLASSES], f"the same of {more:,} more classes"] if more > 0 else first


def _few_images(here: Results, limits: Gate) -> tuple[str, ...]:
    """A line if the interval of a mean over classes may be too narrow."""
    images = np.bincount(here.predictions.labels)
    fewest = images[images > 0].min()
    if limits.metric == "accuracy" or fewest >= FEW:
        return ()
    line = (
        f"the smallest class has {fewest} test image{'s' if fewest > 1 else ''}; with fewer than "
        f"{FEW}, the drop{named(limits.metric)} is larger than its bound more often than "
        f"gate.confidence says"
    )
    return (line,)


def _compare(here: Results, baseline: Results, limits: Gate) -> Comparison:
    labels, predicted = here.predictions.labels, here.predictions.predicted
    wrong, right = discordant(labels, baseline.predictions.predicted, predicted)
    b, c, n = len(wrong), len(right), len(labels)
    names = here.class_names
    if limits.metric == "accuracy":
        drop = (b - c) / n
        bound = float(drop_upper_bound(b, c, n, limits.confidence))
    else:
        drop = baseline.value(limits.metric) - here.value(limits.metric)
        influence = INFLUENCES[limits.metric]
        before = influence(labels, baseline.predictions.predicted, len(names))
        terms = before - influence(labels, predicted, len(names))
        bound = sum_upper_bound(drop, terms, limits.confidence)
    return Comparison(
        baseline.accuracy,
        baseline.value(limits.metric),
        drop,
        bound,
        tuple(
            Mistake(index, names[labels[index]], names[predicted[index]])
            for index in wrong.tolist()
        ),
        c,
        mcnemar(b, c),
    )


def _class_rows(here: Results, baseline: Results | None) -> tuple[ClassRow, ...]:
    images = np.bincount(here.predictions.labels, minlength=len(here.class_names)).tolist()
    before = baseline.accuracy_per_class.tolist() if baseline else [None] * len(images)
    columns = (here.class_names, images, before, here.accuracy_per_class.tolist())
    return tuple(ClassRow(*row) for row in zip(*columns, strict=True) if row[1])

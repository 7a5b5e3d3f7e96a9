"""The decision between two models, and how it is told: console, Markdown, JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.compare import discordant, drop_upper_bound, mcnemar, mean_drop_upper_bound
from pipeline.params import Gate
from pipeline.results import Results

Outcome = Literal["accept", "reject", "cannot tell"]
EXIT_CODES: dict[Outcome, int] = {"accept": 0, "reject": 1, "cannot tell": 2}
SHOWN = 10  # newly wrong images that the console names


@dataclass(frozen=True)
class Mistake:
    """An image that the baseline alone gets right."""

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
    """The model here against the baseline's, on the same images."""

    baseline_accuracy: float
    drop: float  # a share of the images, below 0 for a gain
    upper_bound: float  # of the drop
    newly_wrong: tuple[Mistake, ...]
    newly_right: int
    mcnemar_p: float


@dataclass(frozen=True)
class SeedsComparison:
    """The mean accuracy over the seeds here against the baseline's."""

    baseline: tuple[float, ...]  # accuracy for each seed
    here: tuple[float, ...]
    drop: float  # of the mean, a share of the images
    upper_bound: float  # of the drop


@dataclass(frozen=True)
class Verdict:
    """Whether the model here may replace the baseline's."""

    outcome: Outcome
    reasons: tuple[str, ...]  # for a person, a line each
    baseline: str | None = None
    limits: Gate | None = None
    images: int = 0
    accuracy: float | None = None
    comparison: Comparison | None = None
    seeds: SeedsComparison | None = None
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
            return f"UNGATED, {self.outcome.upper()} by the floor alone"
        return f"{self.outcome.upper()}, compared with {self.baseline}"


def stricter(one: Gate, other: Gate) -> Gate:
    """Of every limit the stricter one."""
    names = one.class_floors.keys() | other.class_floors.keys()
    return Gate(
        floor=max(one.floor, other.floor),
        class_floors={
            name: max(one.class_floors.get(name, 0.0), other.class_floors.get(name, 0.0))
            for name in sorted(names)
        },
        margin=min(one.margin, other.margin),
        confidence=max(one.confidence, other.confidence),
        seeds=max(one.seeds, other.seeds),
        margin_seeds=min(one.margin_seeds, other.margin_seeds),
    )


def decide(
    here: Results,
    baseline: Results | None,
    limits: Gate,
    *,
    name: str | None = None,
    seeds: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    notes: tuple[str, ...] = (),
) -> Verdict:
    """Holds the model here against the floors, and against the baseline if there is one.

    Where there are several seeds, their means are compared, and the two models only shown.

    Args:
        here: its predictions.
        baseline: those of the model to replace, of the same images.
        limits: what to hold them against.
        name: of the baseline.
        seeds: accuracies of the baseline's models and of those here, one for each seed.
        notes: what a reader should know besides.
    """
    reasons = _below_the_floors(here, limits)
    comparison = None
    if baseline:
        comparison = _compare(here, baseline, limits.confidence)
    over_seeds = _compare_seeds(*seeds, limits.confidence) if seeds else None
    if over_seeds:
        reasons += _above("mean drop", over_seeds, limits, "margin_seeds")
    elif comparison:
        reasons += _above("drop", comparison, limits, "margin")
    return Verdict(
        "reject" if reasons else "accept",
        tuple(reasons),
        name,
        limits,
        len(here.labels),
        here.accuracy,
        comparison,
        over_seeds,
        _class_rows(here, baseline),
        notes,
    )


def _compare_seeds(
    baseline: NDArray[np.float64], here: NDArray[np.float64], confidence: float
) -> SeedsComparison:
    return SeedsComparison(
        tuple(baseline.tolist()),
        tuple(here.tolist()),
        float(baseline.mean() - here.mean()),
        mean_drop_upper_bound(baseline, here, confidence),
    )


def _above(name: str, found: Comparison | SeedsComparison, limits: Gate, margin: str) -> list[str]:
    """A line if the drop may be above the limit called `margin`."""
    allowed = getattr(limits, margin)
    if found.upper_bound <= allowed:
        return []
    reason = (
        f"the {name} of {_points(found.drop)} points may be as much as "
        f"{_points(found.upper_bound)} ({limits.confidence:.0%} confidence), and "
        f"gate.{margin} is {_points(allowed)}"
    )
    return [reason]


def _below_the_floors(here: Results, limits: Gate) -> list[str]:
    reasons = []
    if not here.accuracy >= limits.floor:
        reasons.append(f"accuracy {here.accuracy:.2%} is below gate.floor, {limits.floor:.2%}")
    by_class = dict(zip(here.class_names, here.class_accuracy.tolist(), strict=True))
    for name, floor in limits.class_floors.items():
        accuracy = by_class.get(name, np.nan)
        if not accuracy >= floor:
            found = "has no test image" if np.isnan(accuracy) else f"has accuracy {accuracy:.2%}"
            reasons.append(f"class {name} {found}, and its floor in gate is {floor:.2%}")
    return reasons


def _compare(here: Results, baseline: Results, confidence: float) -> Comparison:
    wrong, right = discordant(here.labels, baseline.predicted, here.predicted)
    b, c, n = len(wrong), len(right), len(here.labels)
    return Comparison(
        baseline.accuracy,
        (b - c) / n,
        float(drop_upper_bound(b, c, n, confidence)),
        tuple(
            Mistake(
                index,
                here.class_names[here.labels[index]],
                here.class_names[here.predicted[index]],
            )
            for index in wrong.tolist()
        ),
        c,
        mcnemar(b, c),
    )


def _class_rows(here: Results, baseline: Results | None) -> tuple[ClassRow, ...]:
    images = np.bincount(here.labels, minlength=len(here.class_names)).tolist()
    before = baseline.class_accuracy.tolist() if baseline else [None] * len(images)
    columns = (here.class_names, images, before, here.class_accuracy.tolist())
    return tuple(ClassRow(*row) for row in zip(*columns, strict=True) if row[1])


def console(verdict: Verdict) -> str:
    """A title, a short table, and the reasons."""
    lines = [f"gate: {verdict.title}"]
    if table := rows(verdict):
        widths = [max(len(row[column]) for row in table) for column in range(4)]
        lines += [
            "  ".join(
                [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3))]
            ).rstrip()
            for row in table
        ]
    if verdict.comparison and verdict.comparison.newly_wrong:
        shown = [str(image.index) for image in verdict.comparison.newly_wrong[:SHOWN]]
        more = len(verdict.comparison.newly_wrong) - len(shown)
        lines.append(f"newly wrong: {', '.join(shown)}{f' and {more} more' if more else ''}")
    return "\n".join([*lines, *remarks(verdict)]) + "\n"


def markdown(verdict: Verdict) -> str:
    """The same for a summary, with every class."""
    lines = [f"### Gate: {escape(verdict.title)}", ""]
    lines += [f"- {escape(remark)}" for remark in remarks(verdict)]
    if table := rows(verdict):
        lines += ["", *_table(table)]
    if verdict.classes:
        header = ("class", "images", "baseline", "here", "change, points")
        lines += ["", "<details><summary>By class</summary>", ""]
        lines += [*_table([header, *map(_class_cells, verdict.classes)]), "", "</details>"]
    if verdict.comparison and verdict.comparison.newly_wrong:
        cells = [("test image", "is", "taken for")]
        cells += [(str(m.index), m.actual, m.predicted) for m in verdict.comparison.newly_wrong]
        lines += ["", f"<details><summary>Newly wrong: {len(cells) - 1:,} images</summary>", ""]
        lines += [*_table(cells), "", "</details>"]
    return "\n".join(lines) + "\n"


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The same for a program; numbers are not rounded."""
    content = asdict(verdict) | {"limits": verdict.limits and verdict.limits.model_dump()}
    return content | {"gated": verdict.comparison is not None, "exit_code": verdict.exit_code}


def rows(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    """What was measured, before and here, and the limit; a header first, nothing if nothing was."""
    limits, compared, seeds = verdict.limits, verdict.comparison, verdict.seeds
    if verdict.accuracy is None or limits is None:
        return []
    found = [
        ("", "baseline", "here", "limit"),
        (
            f"accuracy on {verdict.images:,} images",
            f"{compared.baseline_accuracy:.2%}" if compared else "",
            f"{verdict.accuracy:.2%}",
            f"at least {limits.floor:.2%}",
        ),
    ]
    if compared:
        found += [
            *_drop_rows("drop", compared, limits.confidence, None if seeds else limits.margin),
            (
                "images right in this one alone",
                f"{len(compared.newly_wrong):,}",
                f"{compared.newly_right:,}",
                "",
            ),
            ("McNemar's exact p", "", f"{compared.mcnemar_p:.3g}", ""),
        ]
    if seeds:
        found += [
            (
                "mean accuracy over seeds",
                f"{np.mean(seeds.baseline):.2%} of {len(seeds.baseline)}",
                f"{np.mean(seeds.here):.2%} of {len(seeds.here)}",
                "",
            ),
            (
                "standard deviation, points",
                _points(np.std(seeds.baseline, ddof=1)),
                _points(np.std(seeds.here, ddof=1)),
                "",
            ),
            *_drop_rows("mean drop", seeds, limits.confidence, limits.margin_seeds),
        ]
    return found


def _drop_rows(
    name: str, found: Comparison | SeedsComparison, confidence: float, margin: float | None
) -> list[tuple[str, str, str, str]]:
    limit = "" if margin is None else f"at most {_points(margin)}"
    return [
        (f"{name}, points", "", _points(found.drop), ""),
        (f"{name} at most, {confidence:.0%} confidence", "", _points(found.upper_bound), limit),
    ]


def remarks(verdict: Verdict) -> list[str]:
    """Why, and what a reader should know besides, a line each."""
    return [*verdict.reasons, *verdict.notes]


def _class_cells(row: ClassRow) -> tuple[str, ...]:
    before = change = ""
    if row.baseline is not None:
        before, change = f"{row.baseline:.2%}", f"{100 * (row.here - row.baseline):+.2f}"
    return row.name, f"{row.images:,}", before, f"{row.here:.2%}", change


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(map(escape, row))} |" for row in rows]
    return [lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]]


def escape(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    safe = "".join(f"&#{ord(sign)};" if sign in r"\`*_[]<>|#~@&" else sign for sign in text)
    return " ".join(safe.split())


def _points(share: float | np.floating[Any]) -> str:
    """Percentage points."""
    return f"{100 * share:.2f}"

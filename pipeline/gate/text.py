"""A verdict as text for a console, as Markdown, and as JSON."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.gate.verdict import NAMES, ClassRow, Verdict, named, points
from pipeline.program import printable

SHOWN = 6  # newly wrong images that the console lists
CLASSES = 30  # classes up to which a table shows all
NEWLY_WRONG = 100  # images up to which a table shows all


def console(verdict: Verdict) -> str:
    """A title, a short table, and the reasons."""
    lines = [f"gate: {printable(verdict.title)}"]
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
        which = f"{', '.join(shown)}{f' and {more} more' if more else ''}"
        lines.append(f"newly wrong: test image{'s' if len(shown) > 1 else ''} {which}")
    return "\n".join([*lines, *map(printable, remarks(verdict))]) + "\n"


def markdown(verdict: Verdict) -> str:
    """The same for a summary, also by class, and with the newly wrong images."""
    environment = Environment(  # noqa: S701, `finalize` escapes for Markdown
        loader=FileSystemLoader(Path(__file__).parent),
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("verdict.md")
    newly_wrong = verdict.comparison.newly_wrong if verdict.comparison else ()
    return template.render(
        verdict=verdict,
        rows=rows(verdict),
        remarks=remarks(verdict),
        by_class=by_class(verdict),
        classes=classes(verdict),
        newly_wrong=newly_wrong[:NEWLY_WRONG],
    )


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The same for a program; numbers are not rounded."""
    content = asdict(verdict) | {"limits": verdict.limits and verdict.limits.model_dump()}
    return content | {"gated": verdict.comparison is not None, "exit_code": verdict.exit_code}


def rows(verdict: Verdict) -> list[tuple[str, str, str, str]]:
    """What was measured, before and here, and the limit; a header first. Empty if nothing was."""
    limits, compared = verdict.limits, verdict.comparison
    if verdict.accuracy is None or verdict.value is None or limits is None:
        return []
    name = NAMES[limits.metric]
    table = [
        ("", "baseline", "here", "limit"),
        (
            f"{name} on {verdict.images:,} images",
            f"{compared.baseline_value:.2%}" if compared else "",
            f"{verdict.value:.2%}",
            f"at least {limits.floor:.2%}",
        ),
    ]
    if limits.metric != "accuracy":
        before = f"{compared.baseline_accuracy:.2%}" if compared else ""
        table.append(("accuracy", before, f"{verdict.accuracy:.2%}", ""))
    if compared:
        table += [
            (f"drop{named(limits.metric)}, points", "", points(compared.drop), ""),
            (
                f"drop at most, {limits.confidence:.0%} confidence",
                "",
                points(compared.upper_bound),
                f"at most {points(limits.margin)}",
            ),
            (
                "images that only that model gets right",
                f"{len(compared.newly_wrong):,}",
                f"{compared.newly_right:,}",
                "",
            ),
            ("McNemar's exact p", "", f"{compared.mcnemar_p:.3g}", ""),
        ]
    return table


def classes(verdict: Verdict) -> tuple[ClassRow, ...]:
    """Every class, or of many those that lost the most, the first one most.

    Without a baseline they are those of the lowest accuracy.
    """
    if len(verdict.classes) <= CLASSES:
        return verdict.classes
    gains = [row.here - (row.baseline or 0.0) for row in verdict.classes]
    ranked = sorted(range(len(gains)), key=gains.__getitem__)
    return tuple(verdict.classes[index] for index in ranked[:CLASSES])


def by_class(verdict: Verdict) -> str:
    """The title of a table of `classes`, which says where it leaves some out."""
    count = len(verdict.classes)
    if count <= CLASSES:
        return "By class"
    which = "that lost the most" if verdict.comparison else "with the lowest accuracy"
    return f"By class: the {CLASSES} of {count:,} {which}"


def remarks(verdict: Verdict) -> list[str]:
    """Why, and what else a reader should know, a line each."""
    return [*verdict.reasons, *verdict.notes]


def escape(value: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    safe = "".join(
        f"&#{ord(sign)};" if sign in r"\`*_[]<>|#~@&" else sign for sign in printable(f"{value}")
    )
    return " ".join(safe.split())

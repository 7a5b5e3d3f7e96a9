"""Shows the run here, the committed one, and experiments side by side, best validation first.

The experiments are those of the commit that is checked out and of the commits before it. Of the
parameters it shows those that differ. What uses other images than the committed parameters
name is below the rest, since its validation cannot be compared with theirs.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from textwrap import fill

from experiments import progress, results, sets
from pipeline.errors import InputError
from pipeline.program import Parser, run

DECISIVE = ("dataset.name", "model.name")  # parameters that come first
METRICS = ("accuracy", "val_accuracy", "val_loss")  # on the test images; in validation
NAME = "name"


@dataclass(frozen=True)
class Row:
    """An experiment."""

    name: str
    params: sets.Flat
    metrics: Sequence[float]  # in the order of METRICS


def row(one: results.Run) -> Row:
    """The parameters and metrics of a run."""
    final = one.final()
    metrics = (one.accuracy(), *(final[name] for name in METRICS[1:]))
    return Row(one.name, one.params(), metrics)


def readable(runs: Iterable[results.Run]) -> Iterator[Row]:
    """The rows of `runs`, but for those of earlier versions that had other metrics."""
    for one in runs:
        with suppress(InputError, LookupError):
            yield row(one)


def ordered(rows: Sequence[Row], images: sets.Flat) -> list[Row]:
    """`rows` by val_accuracy, best first, those on other images than `images` last."""
    return sorted(
        rows, key=lambda row: (not sets.same_images(row.params, images), -row.metrics[1], row.name)
    )


def differing(rows: Sequence[Row], images: sets.Flat) -> list[str]:
    """The parameters that are not the same in all of `rows`, those with most values first.

    Values in rows on `images`, which can be compared, count more than those in the others. The
    dataset and the architecture come first. Which images are held out and which seed come last: the
    names of experiments over several seeds tell them.
    """
    keys = dict.fromkeys(key for row in rows for key in row.params)

    def count(key: str, some: Sequence[Row]) -> int:
        return len({cell(row, key) for row in some})

    comparable = [row for row in rows if sets.same_images(row.params, images)]
    return sorted(
        (key for key in keys if count(key, rows) > 1),
        key=lambda key: (
            key == "train.seed",
            key in sets.IMAGES and key not in DECISIVE,
            key not in DECISIVE,
            -count(key, comparable),
            -count(key, rows),
        ),
    )


def cell(row: Row, key: str) -> str:
    """The value of a parameter as --set-param takes it; nothing if it is of another network."""
    _, architecture, *inner = [*key.split("."), ""]
    if key not in row.params or (
        key.startswith("model.") and any(inner) and architecture != row.params.get("model.name")
    ):
        return ""
    value = row.params[key]
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def short(keys: Sequence[str]) -> list[str]:
    """The last part of each key, with as many before it as tell it from the others."""

    def ending(key: str) -> str:
        parts = key.split(".")
        ends = [".".join(parts[start:]) for start in range(len(parts) - 1, 0, -1)]
        clear = (
            end
            for end in ends
            if end != NAME and not any(other.endswith(f".{end}") for other in keys if other != key)
        )
        return next(clear, key)

    return [ending(key) for key in keys]


def table(rows: Sequence[Row], columns: Mapping[str, str]) -> list[str]:
    """The lines of a table, the first two with the names of the columns.

    Args:
        rows: a line for each.
        columns: the names of the parameters to show, by their keys.
    """
    names = [name.rpartition("_") for name in (NAME, *METRICS, *columns.values())]
    cells = [
        [before + line for before, line, _ in names],
        [last for _, _, last in names],
        *(
            [
                one.name,
                *(f"{share:.2%}" for share in one.metrics[:2]),
                f"{one.metrics[2]:.4f}",
                *(cell(one, key) for key in columns),
            ]
            for one in rows
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"{first:{widths[0]}}"
        + "".join(f"  {text:>{width}}" for text, width in zip(rest, widths[1:], strict=True))
        for first, *rest in cells
    ]


def fitting(rows: Sequence[Row], keys: Sequence[str], width: int) -> tuple[list[str], list[str]]:
    """The table with as many of `keys`, from the first, as fit into `width`; the others' names."""
    columns = list(zip(keys, short(keys), strict=True))
    for count in range(len(keys), -1, -1):
        lines = table(rows, dict(columns[:count]))
        if len(lines[0]) <= width:
            break
    return lines, [name for _, name in columns[count:]]


def parser() -> Parser:
    """The arguments of the program."""
    return Parser("experiments.compare", __doc__)


def main(_options: argparse.Namespace) -> None:
    """Prints the table.

    Raises:
        InputError: there is only one.
    """
    images = sets.committed()
    runs = [*results.committed(), *(results.finished_before() | results.finished()).values()]
    rows = ordered([*readable((*results.here(runs), *runs))], images)
    if len(rows) < 2:  # noqa: PLR2004
        raise InputError("there is nothing to compare; run an experiment: dvc exp run")
    width = progress.columns() if sys.stdout.isatty() else progress.WIDTH
    lines, left_out = fitting(rows, differing(rows, images), width)
    print("\n".join(lines))
    if others := sum(not sets.same_images(one.params, images) for one in rows):
        print(f"on other images, so not to be compared with those above: the last {others}")
    if left_out:
        print(fill(f"no room for {', '.join(left_out)} (use a wider terminal)", width))


if __name__ == "__main__":
    run(parser(), main)

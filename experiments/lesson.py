"""Runs the experiments of the lesson with several seeds: a table beside what it says, a picture.

Writes docs/lesson.png, and the table into docs/lesson.md. What this commit has already is not run
again.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from experiments import queue, sets
from experiments.spread import percent
from pipeline.artifacts import png_bytes, write_files
from pipeline.errors import InputError
from pipeline.figures import style
from pipeline.program import Parser, run

PREFIX = "lesson-"
PAGE = Path("docs/lesson.md")
PICTURE = Path("docs/lesson.png")
BEGIN, END = "<!-- measured by make lesson -->\n", "<!-- end -->\n"

SAYS = {
    "lesson-20-epochs": "training 93, 97 and at last 99",
    "lesson-10-epochs": "test 97.5 from the third, then close to 98",
    "lesson-16-neurons": "training 92, slowly 95",
    "lesson-deeper-16-16": "close to 128 neurons",
    "lesson-deeper-16-16-16": "close to 128 neurons",
    "lesson-deeper-32-16-16": "close to 128 neurons",
}
PANELS = {
    "Neurons and layers": ("20-epochs", "16-neurons", "deeper"),
    "Solver and learning rate": ("10-epochs", "sgd", "rate"),
}
LOWEST = 0.85  # accuracy below which a curve leaves the picture
HEADER = (
    "| experiment | weights | training images, after 1 | 2 | the last | test images, after 3 | 10 "
    "| 20 | the lesson says |\n|" + "---|" * 9
)
Histories = Sequence[Mapping[str, NDArray[np.float64]]]  # of one set, one for each seed


def row(name: str, weights: int, histories: Histories) -> str:
    """A row of the table: accuracies in percent after so many epochs."""
    cells = [
        *(_after(histories, "accuracy", epoch) for epoch in (1, 2, 0)),
        *(_after(histories, "val_accuracy", epoch) for epoch in (3, 10, 20)),
    ]
    return " | ".join([f"| `{name}`", f"{weights:,}", *cells, SAYS.get(name, "") + " |"])


def _after(histories: Histories, column: str, epoch: int) -> str:
    """Mean and standard deviation after `epoch`, counted from 1; 0 stands for the last one."""
    if epoch > len(histories[0][column]):
        return ""
    return percent([history[column][epoch - 1] for history in histories])


def curves(histories_of: Mapping[str, Histories]) -> Figure:
    """Accuracy by epoch: the mean over the seeds, in a band from the lowest to the highest.

    Args:
        histories_of: the histories of each set.
    """
    figure = Figure(figsize=(10, 8))
    panels = figure.subplots(2, len(PANELS), sharey="row", squeeze=False)
    for column, (title, members) in enumerate(PANELS.items()):
        shown = {
            name: histories
            for name, histories in histories_of.items()
            if name.removeprefix(PREFIX).startswith(members)
        }
        for axes, key in zip(panels[:, column], ("accuracy", "val_accuracy"), strict=True):
            for name, histories in shown.items():
                values = np.array([history[key] for history in histories])  # (seeds, epochs)
                epochs = np.arange(1, values.shape[1] + 1)
                (line,) = axes.plot(
                    epochs,
                    values.mean(axis=0),
                    label=name.removeprefix(PREFIX),
                )
                axes.fill_between(
                    epochs,
                    values.min(axis=0),
                    values.max(axis=0),
                    color=line.get_color(),
                    alpha=0.2,
                )
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axes.grid(alpha=0.3)
        panels[0, column].set_title(title)
        panels[1, column].set_xlabel("epoch")
        panels[1, column].legend(frameon=False, loc="lower right", fontsize=8)
    panels[0, 0].set_ylabel("accuracy on the training images")
    panels[1, 0].set_ylabel("accuracy on the test images")
    lowest = min(min(history["val_accuracy"]) for one in histories_of.values() for history in one)
    for axes in panels.ravel():
        axes.set_ylim(max(lowest - 0.01, LOWEST), 1)
    return figure


def embed(page: str, table: str) -> str:
    """`page` with `table` between its two markers.

    Raises:
        InputError: it has no such markers.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{PAGE}: expected the markers {BEGIN.strip()} and {END.strip()}")
    return f"{head}{BEGIN}{table}\n{END}{tail}"


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("experiments.lesson", __doc__)
    arguments.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="of each set (default: %(default)s)"
    )
    arguments.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs at once (default: %(default)s)"
    )
    return arguments


def main(options: argparse.Namespace) -> None:
    """Runs what is missing, prints the table, and writes it and the picture."""
    page = PAGE.read_text(encoding="utf-8")
    embed(page, "")  # fails now rather than after hours of work
    names = [name for name in sets.load() if name.startswith(PREFIX)]
    runs = queue.run_all(names, range(options.seeds), options.jobs)
    histories_of = {name: [one.history() for one in runs[name]] for name in names}
    rows = [row(name, runs[name][0].weights(), histories_of[name]) for name in names]
    table = "\n".join([HEADER, *rows])
    with style():
        picture = png_bytes(curves(histories_of))
    write_files({PICTURE: picture, PAGE: embed(page, table).encode()})
    print(f"\naccuracy in percent, {options.seeds} seeds\n\n{table}\n\n{PICTURE}\n{PAGE}")


if __name__ == "__main__":
    run(parser(), main)

"""Runs the experiments of the lesson with several seeds: a table beside what it says, a picture.

Writes docs/lesson.png, and the table into docs/lesson.md. What this commit has already is not run
again.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from experiments import batch, sets
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
PANELS = {  # the sets of each, with what tells them apart, and a colour that has one meaning
    "Adam, learning rate 0.001": {
        "20-epochs": ("128 neurons", "tab:blue"),
        "deeper-32-16-16": ("32-16-16 neurons", "tab:purple"),
        "deeper-16-16": ("16-16 neurons", "tab:green"),
        "deeper-16-16-16": ("16-16-16 neurons", "tab:red"),
        "16-neurons": ("16 neurons", "tab:orange"),
    },
    "128 neurons": {
        "10-epochs": ("Adam, rate 0.001", "tab:blue"),
        "rate-1e-4": ("Adam, rate 0.0001", "tab:olive"),
        "rate-1e-2": ("Adam, rate 0.01", "tab:cyan"),
        "sgd": ("SGD, rate 0.01", "tab:brown"),
        "rate-1e-5": ("Adam, rate 0.00001", "tab:pink"),
        "rate-1e-1": ("Adam, rate 0.1", "tab:gray"),
    },
}
LOWEST = 0.85  # accuracy below which a curve leaves the picture
DENSE = 10  # epochs up to which each has a tick
LINE = 0.055  # height of a line of text, as a share of the height of a panel
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
    figure = Figure(figsize=(12, 8.4))
    panels = figure.subplots(2, len(PANELS), sharey="row", squeeze=False)
    lowest = min(min(history["val_accuracy"]) for one in histories_of.values() for history in one)
    bottom = max(lowest - 0.01, LOWEST)
    for column, (title, members) in enumerate(PANELS.items()):
        for axes, key in zip(panels[:, column], ("accuracy", "val_accuracy"), strict=True):
            values_of = {  # (seeds, epochs) by label and colour
                shown: np.array([history[key] for history in histories_of[PREFIX + name]])
                for name, shown in members.items()
            }
            _panel(axes, values_of, bottom)
        panels[0, column].set_title(title)
        panels[1, column].set_xlabel("epoch")
    panels[0, 0].set_ylabel("accuracy on the training images")
    panels[1, 0].set_ylabel("accuracy on the test images")
    seeds = len(next(iter(histories_of.values())))
    figure.suptitle(
        f"Seeds: {seeds}. Lines: their means. Bands: from the lowest to the highest.",
        fontsize="medium",
        x=0.01,
        ha="left",
    )
    return figure


def _panel(
    axes: Axes, values_of: Mapping[tuple[str, str], NDArray[np.float64]], bottom: float
) -> None:
    """Draws lines from `bottom` to 1, each with its label where it ends."""
    axes.set_ylim(bottom, 1)
    ends = []  # of the lines: height, label and colour
    below = []  # what is left out
    for (label, colour), values in values_of.items():
        mean = values.mean(axis=0)
        if mean.max() < bottom:
            below.append(f"{label}, {mean[-1]:.0%} at the end")
            continue
        epochs = np.arange(1, len(mean) + 1)
        axes.plot(epochs, mean, label=label, color=colour)
        axes.fill_between(
            epochs, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.2, linewidth=0
        )
        ends.append((mean[-1], label, colour))
    last = max(values.shape[1] for values in values_of.values())
    ends.sort()
    heights = spread(np.array([height for height, _, _ in ends]), LINE * (1 - bottom))
    for (end, label, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            label,
            xy=(last, end),
            xytext=(1.06, height),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "shrinkA": 1, "shrinkB": 0},
            annotation_clip=False,
        )
    if below:
        text = "\n".join(["below the picture:", *below])
        axes.text(0.98, 0.03, text, transform=axes.transAxes, ha="right", color="0.35", fontsize=9)
    step = 1 if last <= DENSE else 5
    axes.set_xticks(sorted({1, *range(step, last, step), last}))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.margins(x=0.02)
    axes.grid(alpha=0.3)


def spread(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """`heights`, which ascend, moved apart to `gap` at least, by the least squares."""
    steps = gap * np.arange(len(heights))
    apart: NDArray[np.float64] = isotonic_regression(heights - steps).x + steps
    return apart


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
        "--seeds",
        type=batch.count,
        default=5,
        metavar="N",
        help="of each set (default: %(default)s)",
    )
    batch.add_options(arguments)
    return arguments


def main(options: argparse.Namespace) -> None:
    """Runs what is missing, prints the table, and writes it and the picture."""
    page = PAGE.read_text(encoding="utf-8")
    embed(page, "")  # fails now rather than after hours of work
    names = [name for name in sets.load() if name.startswith(PREFIX)]
    runs = batch.over_seeds(names, range(options.seeds), batch.way(options))
    histories_of = {name: [one.history() for one in runs[name]] for name in names}
    rows = [row(name, runs[name][0].weights(), histories_of[name]) for name in names]
    table = "\n".join([HEADER, *rows])
    with style():
        picture = png_bytes(curves(histories_of))
    write_files({PICTURE: picture, PAGE: embed(page, table).encode()})
    print(f"\naccuracy in percent; seeds: {options.seeds}\n\n{table}\n\n{PICTURE}\n{PAGE}")


if __name__ == "__main__":
    run(parser(), main)

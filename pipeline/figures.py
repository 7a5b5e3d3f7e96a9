"""Arrays to figures, which `pipeline.artifacts.png_bytes` turns into pictures."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

TRAINING, VALIDATION = "tab:blue", "tab:orange"
DARK = 0.7  # share of the most frequent mistake from which a cell gets white text
NAME_LENGTH = 2  # longest class name that is written horizontally under a matrix


@contextmanager
def style(ink: str = "black") -> Iterator[None]:
    """The same look on every machine, whatever its matplotlibrc says.

    Args:
        ink: the colour of text and axes.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "figure.dpi": 120,
                "savefig.dpi": 120,
                "figure.constrained_layout.use": True,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.titlelocation": "left",
                "text.color": ink,
                "axes.edgecolor": ink,
                "axes.labelcolor": ink,
                "xtick.color": ink,
                "ytick.color": ink,
            }
        )
        yield


def curves(history: dict[str, NDArray[np.float64]]) -> Figure:
    """Loss and accuracy by epoch, for training and validation.

    Args:
        history: `epoch`, `loss`, `accuracy`, `val_loss` and `val_accuracy`, each (epochs,).
    """
    figure = Figure(figsize=(9, 3.8))
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label, color in (
            (name, "training", TRAINING),
            (f"val_{name}", "validation", VALIDATION),
        ):
            values = history[key]
            shown = f"{values[-1]:.2%}" if name == "accuracy" else f"{values[-1]:.4f}"
            axes.plot(
                history["epoch"],
                values,
                marker="o",
                markersize=3,
                color=color,
                label=f"{label}, {shown} at the end",
            )
        by_epoch(axes, name)
    return figure


def by_epoch(axes: Axes, name: str) -> None:
    """Finishes a plot of the loss or the accuracy by epoch."""
    axes.set(title=name.capitalize(), xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    if name == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))


def confusion_matrix(counts: NDArray[np.intp], class_names: tuple[str, ...]) -> Figure:
    """Which class was taken for which; only mistakes are coloured.

    Args:
        counts: (C, C) images by actual (row) and predicted class (column).
        class_names: C names.
    """
    figure = Figure(figsize=(6.6, 6.2))
    axes = figure.subplots()
    mistakes = counts - np.diag(np.diag(counts))
    most = max(1, mistakes.max())
    axes.imshow(np.ma.masked_equal(mistakes, 0), cmap="Reds", vmin=0, vmax=1.25 * most)
    for (row, column), count in np.ndenumerate(counts):
        right = row == column
        if right:
            axes.add_patch(mpl.patches.Rectangle((column - 0.5, row - 0.5), 1, 1, color="0.92"))
        if count:
            axes.text(
                column,
                row,
                f"{count}",
                ha="center",
                va="center",
                fontsize=9,
                weight="bold" if right else "normal",
                color="white" if not right and count > DARK * most else "black",
            )
    ticks = range(len(class_names))
    upright = max(map(len, class_names)) <= NAME_LENGTH
    axes.set_xticks(
        ticks, class_names, rotation=0 if upright else 45, ha="center" if upright else "right"
    )
    axes.set_yticks(ticks, class_names)
    right, total = np.trace(counts), counts.sum()
    axes.set(
        title=f"{total - right:,} of {total:,} taken for another class (red)",
        xlabel="predicted",
        ylabel="actual",
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def mistakes(
    images: NDArray[np.uint8],
    largest_pixel: int,
    actual: list[str],
    predicted: list[str],
    confidence: list[float],
) -> Figure:
    """Misclassified images with their true and predicted classes, in the order given.

    Args:
        images: (M, height, width), M of at least 0.
        largest_pixel: the value that is drawn black.
        actual: M names of the true classes.
        predicted: M names of the predicted classes.
        confidence: M probabilities of the predicted classes.
    """
    columns = max(1, min(5, len(images)))
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.75 * columns + 0.4, 2.1 * rows + 0.5))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, truth, guess, sure in zip(
        grid, images, actual, predicted, confidence, strict=False
    ):
        axes.set_axis_on()
        axes.spines[:].set(visible=True, color="0.85")
        axes.set(xticks=[], yticks=[])
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=max(1, largest_pixel))
        axes.set_title(f"{truth}, taken for {guess}\n{sure:.2%} sure", fontsize=9, loc="center")
    figure.suptitle("Most confident mistakes" if len(images) else "No mistakes")
    return figure

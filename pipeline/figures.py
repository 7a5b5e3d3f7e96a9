"""Arrays to figures, which `pipeline.artifacts.png_bytes` turns into pictures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image

from pipeline.records import Predictions
from pipeline.score import confusion, most_confused

TRAINING, VALIDATION = "tab:blue", "tab:orange"
DARK = 0.7  # share of the most frequent mistake from which a cell gets white text
GREY = 2  # dimensions of an image without colour
MATRIX = 30  # classes up to which a whole confusion matrix is readable
UPRIGHT = 2  # characters of the longest class name that is written horizontally under a matrix
LONGEST = 16  # characters of a class name that are shown


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
                "text.parse_math": False,  # a class may be called $
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


def confusion_matrix(predictions: Predictions, class_names: tuple[str, ...]) -> Figure:
    """Which class was taken for which, and the share of each class that was right.

    Only mistakes are coloured. Of more than MATRIX classes it shows those with the most mistakes.

    Args:
        predictions: of N images.
        class_names: C names.
    """
    shown = most_confused(predictions, len(class_names), MATRIX)
    cells = confusion(predictions, len(class_names), shown)
    images, right = np.bincount(predictions.labels, minlength=len(class_names)), np.diag(cells)
    of_another = cells - np.diag(right)
    names = [shortened(class_names[index]) for index in shown]
    most = max(1, of_another.max())
    side = max(6.2, 0.5 * len(shown) + 1)  # inches
    figure = Figure(figsize=(side + 0.9, side))
    axes = figure.subplots()
    axes.imshow(np.ma.masked_equal(of_another, 0), cmap="Reds", vmin=0, vmax=1.25 * most)
    for (row, column), count in np.ndenumerate(cells):
        is_right = row == column
        if is_right:
            axes.add_patch(mpl.patches.Rectangle((column - 0.5, row - 0.5), 1, 1, color="0.92"))
        if count:
            axes.text(
                column,
                row,
                f"{count:,}",
                ha="center",
                va="center",
                fontsize=9,
                weight="bold" if is_right else "normal",
                color="white" if not is_right and count > DARK * most else "black",
            )
    ticks = range(len(shown))
    upright = max(map(len, names)) <= UPRIGHT
    axes.set_xticks(
        ticks,
        names,
        rotation=0 if upright else 45,
        rotation_mode="anchor",
        ha="center" if upright else "right",
        va="top" if upright else "center",
    )
    axes.set_yticks(ticks, names)
    rates = axes.secondary_yaxis("right")
    rates.set_yticks(ticks, [rate(*counts) for counts in zip(right, images[shown], strict=True)])
    rates.set_ylabel("share that was right")
    wrong, total = (~predictions.correct).sum(), len(predictions.labels)
    title = f"{wrong:,} of {total:,} taken for another class (red)"
    if len(shown) < len(class_names):
        title += f"; the {len(shown)} of {len(class_names):,} classes with the most mistakes"
    axes.set(title=title, xlabel="predicted", ylabel="actual")
    for one in (axes, rates):
        one.tick_params(length=0)
        one.spines[:].set_visible(False)
    return figure


def rate(right: int, images: int) -> str:
    """The share `right` of `images` in percent: 100% only if it is all of them."""
    if not images:
        return ""
    return "100%" if right == images else not_rounded_up(right / images, 1)


def not_rounded_up(share: float, digits: int) -> str:
    """A share in percent, which is never shown as 100%."""
    most = 1 - 10.0 ** -(digits + 2)
    return f"{share:.{digits}%}" if round(share, digits + 2) <= most else f"> {most:.{digits}%}"


def shortened(name: str) -> str:
    """A class name of at most LONGEST characters: the middle of a longer one is left out."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[1 - half :]}"


def mistakes(
    images: NDArray[np.uint8],
    largest_pixel: int,
    actual: list[str],
    predicted: list[str],
    confidence: list[float],
) -> Figure:
    """Misclassified images with their true and predicted classes, in the order given.

    Args:
        images: (M, height, width) or (M, height, width, 3), M of at least 0.
        largest_pixel: the value of full intensity: grey images are drawn dark on light.
        actual: M names of the true classes.
        predicted: M names of the predicted classes.
        confidence: M probabilities of the predicted classes.
    """
    columns = max(1, min(5, len(images)))
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(1.75 * columns + 0.4, 2.2 * rows + 0.5))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, image, truth, guess, sure in zip(
        grid, images, actual, predicted, confidence, strict=False
    ):
        axes.set_axis_on()
        axes.spines[:].set(visible=True, color="0.85")
        axes.set(xticks=[], yticks=[])
        axes.imshow(drawable(image, largest_pixel), **grey(largest_pixel))
        lines = (
            shortened(truth),
            f"taken for {shortened(guess)}",
            f"{not_rounded_up(sure, 2)} sure",
        )
        axes.set_title("\n".join(lines), fontsize=8)
    title = "Most confident mistakes" if len(images) else "No mistakes"
    figure.suptitle(title, x=0.06 / figure.get_figwidth(), ha="left")
    return figure


def answers(
    pictures: Sequence[Image.Image],
    images: NDArray[np.uint8],
    largest_pixel: int,
    names: Sequence[str],
    said: Sequence[str],
) -> Figure:
    """Pairs of what came in and what the model saw, with what it said.

    Args:
        pictures: M that came in, in grey or colour.
        images: (M, height, width) or (M, height, width, 3) that the model saw.
        largest_pixel: the value of full intensity.
        names: M names of the pictures.
        said: M answers.
    """
    columns = min(3, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.1 * rows))
    grid = figure.subplots(rows, 2 * columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for number, (picture, image) in enumerate(zip(pictures, images, strict=True)):
        came, saw = grid[2 * number : 2 * number + 2]
        came.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255)
        saw.imshow(drawable(image, largest_pixel), cmap="gray", vmin=0, vmax=max(1, largest_pixel))
        came.set_title(_end(names[number]), fontsize=8)
        saw.set_title(shortened(said[number]), fontsize=9, weight="bold")
    return figure


def _end(name: str) -> str:
    """The last LONGEST characters of a path."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def drawable(image: NDArray[np.uint8], largest_pixel: int) -> NDArray[Any]:
    """An image as matplotlib draws it: grey as it is, see `grey`; colours from 0 to 1."""
    if image.ndim == GREY:
        return image
    colours: NDArray[np.float64] = np.minimum(1, image / max(1, largest_pixel))
    return colours


def grey(largest_pixel: int) -> dict[str, Any]:
    """How matplotlib draws grey images: dark on light, as on paper. Colours are drawn as such."""
    return {"cmap": "gray_r", "vmin": 0, "vmax": max(1, largest_pixel)}

"""Writes the verdict, the curves and the mistakes as pictures to one HTML page.

The page contains everything it shows, makes no request and runs no script; the same results make
the same bytes. For charts that compare experiments, see `dvc plots`.
"""

import argparse
import sys
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.image import imsave
from numpy.typing import NDArray

from pipeline import figures, paths, score
from pipeline.artifacts import write_output
from pipeline.data.split import Split
from pipeline.errors import InputError, NetworkError
from pipeline.gate import results, text
from pipeline.gate.judge import find_baseline, judge, source_of
from pipeline.gate.results import Results
from pipeline.gate.verdict import Mistake, Verdict, cannot_tell
from pipeline.lock import read_lock
from pipeline.program import Parser, emit, run
from pipeline.records import flat, read_history, read_json, read_yaml
from pipeline.repository import WORKING_TREE, Commit, Source, changed_files, git

TEMPLATE = "report.html"
SHOWN = 48  # images of a kind that are drawn
FILES = 10  # of the dataset that are named
PIXELS = 96  # rows and columns of an image on the page
INK = "#010203"  # of text and axes in charts; the page replaces it with its own colour


def report(name: str | None) -> str:
    """The page about the results here, compared with the commit called `name` if possible.

    Raises:
        InputError: there are no results here, or they contradict each other.
    """
    here = results.load(WORKING_TREE)
    baseline = None
    try:
        baseline = find_baseline(name)
        verdict = judge(name)
    except InputError as error:
        verdict = cannot_tell(str(error))
    worst = score.most_confident_mistakes(here.predictions)[:SHOWN].tolist()
    newly_wrong = _newly_wrong(verdict)
    shown = score.most_confused(here.predictions, len(here.class_names), figures.MATRIX)
    confused = [figures.shortened(here.class_names[index]) for index in shown]
    confusion = score.confusion(here.predictions, len(here.class_names), shown)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        verdict=verdict,
        rows=text.rows(verdict),
        remarks=text.remarks(verdict),
        results=here,
        baseline=baseline,
        charts=_charts(baseline),
        confused=confused,
        steep=max(map(len, confused)) > figures.UPRIGHT,
        confusion=confusion,
        most=_most_frequent_mistake(confusion),
        worst=_pictures(here, worst),
        newly_wrong=_pictures(here, [mistake.index for mistake in newly_wrong[:SHOWN]]),
        newly_wrong_total=len(newly_wrong),
        by_class=text.by_class(verdict),
        classes=text.classes(verdict),
        metrics=_metrics(here, baseline),
        parameters=_changed_parameters(baseline),
        provenance=_provenance(here),
    )


def _newly_wrong(verdict: Verdict) -> tuple[Mistake, ...]:
    return verdict.comparison.newly_wrong if verdict.comparison else ()


def _pictures(here: Results, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Test images and their classes; without a picture where the data are absent."""
    split = _test_images(here)
    names, predictions = here.class_names, here.predictions
    return [
        {
            "index": index,
            "actual": names[predictions.labels[index]],
            "predicted": names[predictions.predicted[index]],
            "sure": figures.not_rounded_up(float(predictions.probability[index]), 2),
            "picture": split and _png(split.images[index], split.largest_pixel),
        }
        for index in indices
    ]


def _test_images(here: Results) -> Split | None:
    """The test images, if those on the disk are the ones that the results are about."""
    with suppress(InputError, NetworkError):
        split = Split.load(paths.TEST)
        same_labels = np.array_equal(split.labels, here.predictions.labels)
        if same_labels and split.class_names == here.class_names:
            return split
    return None


def _png(image: NDArray[np.uint8], largest_pixel: int) -> str:
    """An image, (height, width) or (height, width, 3), as a data URL."""
    drawn = figures.drawable(reduced(image), largest_pixel)
    file = BytesIO()
    imsave(file, drawn, **figures.grey(largest_pixel), format="png", metadata={"Software": ""})
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def reduced(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`image` with at most PIXELS rows and columns, each pixel the mean of a square of pixels.

    What does not fill a square, below and on the right, is cut off.
    """
    height, width, *channels = image.shape
    side = -(-max(height, width) // PIXELS)
    if side == 1:
        return image
    down, right = min(side, height), min(side, width)
    rows, columns = height // down, width // right
    squares = image[: rows * down, : columns * right].reshape(rows, down, columns, right, *channels)
    return np.asarray(squares.mean(axis=(1, 3)), dtype=np.uint8)


def _charts(baseline: Commit | None) -> list[Markup]:
    """Loss and accuracy by epoch, dashed for the baseline if it has them."""
    sides = {"": _history(WORKING_TREE)}
    with suppress(InputError):
        sides |= {"baseline, ": _history(source_of(baseline))} if baseline else {}
    return [_svg(_curves(name, sides), name) for name in ("loss", "accuracy")]


def _history(source: Source) -> dict[str, NDArray[np.float64]]:
    return read_history(source.read(paths.HISTORY), str(paths.HISTORY))


def _curves(name: str, sides: dict[str, dict[str, NDArray[np.float64]]]) -> Figure:
    figure = Figure(figsize=(5, 3.4))
    axes = figure.subplots()
    for whose, history in sides.items():
        for key, label, color in (
            (name, "training", figures.TRAINING),
            (f"val_{name}", "validation", figures.VALIDATION),
        ):
            axes.plot(
                history["epoch"],
                history[key],
                label=f"{whose}{label}",
                color=color,
                linestyle="--" if whose else "-",
                alpha=0.6 if whose else 1,
            )
    figures.by_epoch(axes, name)
    return figure


def _svg(figure: Figure, name: str) -> Markup:
    """A figure as SVG in the colour of the text around it; `name` is unique on the page."""
    file = StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawn = file.getvalue()
    return Markup(drawn[drawn.index("<svg") :].replace(INK, "currentColor"))  # noqa: S704, our text


def _most_frequent_mistake(confusion: NDArray[np.intp]) -> int:
    """How many images it concerns, at least 1."""
    return max(1, int(np.max(confusion - np.diag(np.diag(confusion)))))


def _metrics(here: Results, baseline: Commit | None) -> list[tuple[str, Any, Any]]:
    """Every number of metrics/evaluate.json, in the baseline and here.

    What follows from the predictions here is computed from them, whatever the file says.
    """
    path = paths.EVALUATE_METRICS
    computed = score.agreement(here.predictions, here.class_names)
    ours = read_json(WORKING_TREE.read(path), str(path)) | computed
    theirs: dict[str, Any] = {}
    with suppress(InputError):
        theirs = read_json(baseline.read(path), str(path)) if baseline else {}
    return _side_by_side(theirs, ours)


def _changed_parameters(baseline: Commit | None) -> list[tuple[str, Any, Any]]:
    """Every value of params.yaml that differs, in the baseline and here."""
    ours = read_yaml(WORKING_TREE.read(paths.PARAMS), str(paths.PARAMS))
    theirs: object = {}
    with suppress(InputError):
        theirs = read_yaml(baseline.read(paths.PARAMS), str(paths.PARAMS)) if baseline else {}
    return [row for row in _side_by_side(theirs, ours) if row[1] != row[2]]


def _side_by_side(theirs: object, ours: object) -> list[tuple[str, Any, Any]]:
    """Every value of two nested mappings by its key; None where one has no such key."""
    before, here = dict(flat(theirs)), dict(flat(ours))
    return [(key, before.get(key), here.get(key)) for key in {**here, **before}]


def _provenance(here: Results) -> list[tuple[str, str]]:
    """What the results come from, as names and values."""
    model = read_lock(WORKING_TREE.read).outputs.get(str(paths.MODEL), "unknown")
    changes = ", with changes" if changed_files() else ""
    files = here.dataset.get("files", [])
    rows = [
        ("revision", git("rev-parse", "--short=7", "HEAD") + changes),
        ("dataset", str(here.dataset.get("dataset"))),
        *((file["name"], file.get("sha256") or file["md5"]) for file in files[:FILES]),
        *([("more files", f"{len(files) - FILES:,}")] if len(files) > FILES else []),
        *([("its list of files", here.dataset["sha256"])] if "sha256" in here.dataset else []),
        ("test images, as the model receives them", here.test),
        ("model", model),
    ]
    with suppress(InputError, LookupError, AttributeError):
        made = read_json(WORKING_TREE.read(paths.PROVENANCE), str(paths.PROVENANCE))
        if made["model_md5"] == model:
            rows += [*made["versions"].items(), ("processor", made["processor"])]
    return rows


def main(options: argparse.Namespace) -> None:
    """Writes the page."""
    with figures.style(INK):
        page = report(options.baseline)
    write_output(options.output, page.encode())
    emit(f"{options.output}\n", sys.stdout)


def parser() -> Parser:
    """The arguments of the report."""
    arguments = Parser("pipeline.report", __doc__)
    arguments.add_argument(
        "--baseline", metavar="REV", help="the commit to compare with (default: as in the gate)"
    )
    arguments.add_argument(
        "--output",
        type=Path,
        default=paths.REPORT,
        metavar="FILE",
        help="where to write the page (default: %(default)s)",
    )
    return arguments


if __name__ == "__main__":
    run(parser(), main)

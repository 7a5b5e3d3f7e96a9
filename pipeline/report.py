"""One HTML file for a person: the gate's verdict, curves, mistakes as pictures, and what made them.

`python -m pipeline.report [--baseline REV] [--output FILE]`. It holds all that it shows, makes no
request, and runs no script; the same results make the same bytes. Charts for comparing experiments
come from `dvc plots`.
"""

import argparse
import csv
import json
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
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

from pipeline import figures, gate, params, paths, results, revision, score, verdict, workspace
from pipeline.artifacts import write_bytes
from pipeline.errors import InputError, PipelineError
from pipeline.results import Read, Results
from pipeline.revision import Revision
from pipeline.split import Split
from pipeline.verdict import Verdict

OUTPUT = Path("report.html")
TEMPLATE = "report.html"
SHOWN = 48  # newly wrong images that are drawn
INK = "#010203"  # of texts and axes, in the place of which the page puts its own colour
MATRIX = 30  # classes up to which a confusion matrix can be read


def report(name: str | None) -> str:
    """The page about the results here, compared with the revision called `name` if it can be.

    Raises:
        InputError: there are no results here, or they contradict each other.
    """
    here = results.load(workspace.read, "here", "run dvc repro")
    baseline = None
    try:
        baseline = gate.find_baseline(name)
        found = gate.judge(name)
    except InputError as error:
        found = Verdict("cannot tell", tuple(str(error).splitlines()))
    confusion = _confusion(here)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        verdict=found,
        rows=verdict.rows(found),
        remarks=verdict.remarks(found),
        results=here,
        baseline=baseline,
        charts=_charts(baseline),
        confusion=confusion,
        most=_most(confusion),
        worst=_pictures(here, _worst(here)),
        newly_wrong=_pictures(here, [m.index for m in _newly_wrong(found)[:SHOWN]]),
        newly_wrong_total=len(_newly_wrong(found)),
        metrics=_compared(paths.EVALUATE_METRICS, baseline),
        parameters=[row for row in _compared(paths.PARAMS, baseline) if row[1] != row[2]],
        provenance=_provenance(here),
    )


def _newly_wrong(found: Verdict) -> tuple[verdict.Mistake, ...]:
    return found.comparison.newly_wrong if found.comparison else ()


def _worst(here: Results) -> list[int]:
    """The images of the most confident mistakes, by their positions."""
    wrong = np.flatnonzero(here.labels != here.predicted)
    order = np.argsort(-here.probability[wrong], kind="stable")
    shown: list[int] = wrong[order][: params.load(paths.PARAMS).evaluate.mistakes].tolist()
    return shown


def _pictures(here: Results, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Test images, with what they were taken for; without a picture where data are absent."""
    try:
        images = Split.load(paths.TEST).images
    except InputError:
        images = None
    return [
        {
            "index": index,
            "actual": here.class_names[here.labels[index]],
            "predicted": here.class_names[here.predicted[index]],
            "probability": here.probability[index],
            "picture": None if images is None else _png(images[index]),
        }
        for index in indices
    ]


def _png(image: NDArray[np.uint8]) -> str:
    """An image, (height, width), as the text of a link: dark on light, as on paper."""
    file = BytesIO()
    imsave(file, image, cmap="gray_r", vmin=0, vmax=255, format="png", metadata={"Software": ""})
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def _charts(baseline: Revision | None) -> list[Markup]:
    """Loss and accuracy by epoch, those of the baseline dashed where it has any."""
    sides = {"": _history(workspace.read)}
    with suppress(InputError):
        sides |= {"baseline, ": _history(baseline.read)} if baseline else {}
    return [_svg(_curves(name, sides), name) for name in ("loss", "accuracy")]


def _history(read: Read) -> dict[str, NDArray[np.float64]]:
    """The columns of history.csv, (epochs,) each.

    Raises:
        InputError: it is missing or damaged.
    """
    rows = list(csv.DictReader(StringIO(read(paths.HISTORY).decode())))
    try:
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(f"{paths.HISTORY}: cannot be read ({error}); run dvc repro") from error


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
    """A figure as SVG in the colour of the text around it; `name` is its own on the page."""
    file = StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawn = file.getvalue()
    return Markup(drawn[drawn.index("<svg") :].replace(INK, "currentColor"))  # noqa: S704, no text of others


def _confusion(here: Results) -> NDArray[np.intp] | None:
    """(C, C) images by actual and predicted class, unless there are too many classes to read it."""
    classes = len(here.class_names)
    return score.confusion(here.labels, here.predicted, classes) if classes <= MATRIX else None


def _most(confusion: NDArray[np.intp] | None) -> int:
    """The images of the most frequent mistake, at least 1."""
    mistakes = 0 if confusion is None else confusion - np.diag(np.diag(confusion))
    return max(1, int(np.max(mistakes)))


def _compared(path: Path, baseline: Revision | None) -> list[tuple[str, Any, Any]]:
    """Every value in a YAML or JSON file, before and here; None where there is none."""
    here = dict(_flat(params.parse(workspace.read(path), str(path))))
    try:
        there = dict(_flat(params.parse(baseline.read(path), str(path)))) if baseline else {}
    except InputError:
        there = {}
    return [(key, there.get(key), here.get(key)) for key in {**here, **there}]


def _flat(content: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Its values by their keys, joined by points; lists of mappings are left out."""
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from _flat(value, f"{prefix}.{key}".lstrip("."))
    elif not (isinstance(content, list) and any(isinstance(item, dict) for item in content)):
        yield prefix, content


def _provenance(here: Results) -> list[tuple[str, str]]:
    """What the results come from, by what it is."""
    made = json.loads(workspace.read(paths.PROVENANCE))
    locked = results.outputs(results.stages(workspace.read))
    rows = [("revision", revision.head()), ("dataset", str(here.dataset.get("dataset")))]
    rows += [(file["name"], file["sha256"]) for file in here.dataset.get("files", [])]
    rows += [("test images, as the model gets them", here.test)]
    rows += [("model", locked.get(str(paths.MODEL), "unknown"))]
    if made["model_md5"] == locked.get(str(paths.MODEL)):
        rows += [*made["versions"].items(), ("processor", made["processor"])]
    return rows


def main(arguments: Sequence[str]) -> None:
    """Writes the page.

    Raises:
        InputError: there is nothing to report.
    """
    parser = argparse.ArgumentParser(prog="python -m pipeline.report", allow_abbrev=False)
    parser.add_argument("--baseline", metavar="REV", help="default: that of the gate")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="report.html")
    options = parser.parse_args(arguments)
    with figures.style():
        mpl.rcParams.update(
            {
                "text.color": INK,
                "axes.edgecolor": INK,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
            }
        )
        page = report(options.baseline)
    write_bytes(options.output, page.encode())
    print(options.output)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except PipelineError as error:
        print(f"report: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

"""Writes the model card: what the model learned from, how well it does, and how to use it.

It is Markdown with the metadata that Hugging Face reads, made from params.yaml, dvc.lock, metrics
and what the dataset's folder says of it; the same results make the same bytes.
"""

import argparse
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from numpy.typing import NDArray
from ruamel.yaml import YAML

from pipeline import paths, score
from pipeline.artifacts import write_output
from pipeline.data import datasets
from pipeline.data.datasets import Dataset
from pipeline.errors import InputError
from pipeline.gate import definitions, freshness, results, text
from pipeline.gate.results import Results
from pipeline.gate.statistics import half_width
from pipeline.lock import read_lock
from pipeline.params import Params, Preprocess, load
from pipeline.program import Parser, emit, run
from pipeline.records import one_line, read_file, read_history, read_json
from pipeline.repository import WORKING_TREE, tracked_files

CARD = Path("MODEL_CARD.md")
TEMPLATE = "card.md"
ARTIFACT = "classifier"  # what dvc.yaml calls the model
LICENSE = "mit"  # of this code
LICENSES = "https://huggingface.co/docs/hub/repositories-licenses"
HUB = {  # datasets here, and what huggingface.co/datasets calls them
    "cifar10": "uoft-cs/cifar10",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "mnist": "ylecun/mnist",
}
CLASSES = text.CLASSES  # up to which a table shows all
CONFUSIONS = 10  # pairs of classes that are shown
FILES = 10  # of the dataset that are named
LINES = 40  # of the dataset's README.md that are quoted
SURE = (0.5, 0.9, 0.99)  # least probabilities for which the share of right answers is given
SPLITS = ("train", "validation", "test")
SPREAD: dict[str, Callable[[NDArray[np.intp]], int]] = {  # of the images of a class, over classes
    "the fewest": lambda counts: int(counts.min()),
    "median": lambda counts: int(np.median(counts)),
    "the most": lambda counts: int(counts.max()),
}
FITTED = {
    "pad": "padded with the colour of its border",
    "crop": "cropped to its middle",
    "stretch": "stretched",
}


Counts = dict[str, NDArray[np.intp]]  # images of each class, (C,), by the name of the split


class Share(NamedTuple):
    """A share of images, and its 95% interval."""

    value: float
    low: float
    high: float


class Metric(NamedTuple):
    """A number about the test images."""

    name: str
    type: str  # its name in the metadata
    share: Share


class ClassRow(NamedTuple):
    """How the model does on one class."""

    name: str
    images: int  # test images of the class
    recall: Share | None  # the share of them that it gets right; None if there are none
    precision: float | None  # the share of right ones among its answers; None if it never says so


class Confusion(NamedTuple):
    """Test images of one class that were taken for another."""

    actual: str
    predicted: str
    images: int
    share: float  # of the test images of the actual class


class Sure(NamedTuple):
    """The answers of at least some probability."""

    least: float
    images: int
    right: float | None  # the share of right ones; None if there are none


def card(licence: str = LICENSE) -> str:
    """The card of the model of the last run.

    Args:
        licence: under which the model is published, as Hugging Face calls it.

    Raises:
        InputError: results are missing, or not those of the code and the parameters here.
        IntegrityError: results contradict each other.
    """
    here = results.load(WORKING_TREE)
    freshness.check_lock(WORKING_TREE, tracked_files())
    definitions.check_all_run(WORKING_TREE)
    results.check_metrics(WORKING_TREE)
    freshness.check_status()
    params = load(paths.PARAMS)
    dataset = datasets.find(params.dataset.name)
    try:
        facts = _facts(here, params)
    except (LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{paths.METRICS}: not as this version writes it, near {one_line(error)}; run dvc repro"
        ) from error
    return _template().render(
        licence=licence,
        artifact=ARTIFACT,
        hub=HUB.get(dataset.name),
        dataset_id=HUB.get(dataset.name) or re.sub(r"[^a-zA-Z0-9._-]+", "-", dataset.name),
        dataset=dataset.name,
        folder=str(dataset.location),
        said=_said(dataset),
        params=params,
        settings=_settings(params),
        prepared=_prepared(dataset, params.preprocess, facts["shape"]),
        classes_shown=CLASSES,
        files_shown=FILES,
        split=_split(params.preprocess, facts["counts"]),
        **facts,
    )


def _template() -> Template:
    environment = Environment(  # noqa: S701, `finalize` escapes for Markdown
        loader=FileSystemLoader(Path(__file__).parent),
        finalize=_escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "code": _code,
        "number": "{:,}".format,
        "percent": _percent,
        "some": _some,
    }
    return environment.get_template(TEMPLATE)


def _percent(share: float) -> str:
    """A share, which is 100% only if it is 1."""
    return f"{share if share >= 1 else min(share, 0.9999):.2%}"


def _escaped(value: object) -> str:
    """Text that Markdown shows as it is, unless it is Markdown already."""
    return str(value) if isinstance(value, Markup) else text.escape(value)


def _code(value: str) -> Markup:
    """Text in the type of code, if that can be written in a table."""
    plain = value.isprintable() and not set(value) & set("`|")
    return Markup(f"`{value}`" if plain else text.escape(value))  # noqa: S704, it is Markdown


def _some(names: list[str]) -> Markup:
    """The first names of a list, and how many there are beside them."""
    shown = ", ".join(text.escape(name) for name in names[:CLASSES])
    more = len(names) - CLASSES
    return Markup(f"{shown} and {more:,} more" if more > 0 else shown)  # noqa: S704


def _facts(here: Results, params: Params) -> dict[str, Any]:
    """What the results say, by the names that the template has for it."""
    preprocessed, trained, scored = (
        read_json(read_file(path), str(path))
        for path in (paths.PREPROCESS_METRICS, paths.TRAIN_METRICS, paths.EVALUATE_METRICS)
    )
    counts: Counts = {
        name: np.array([row["images"] for row in preprocessed["images"][name]["per_class"]])
        for name in SPLITS
    }
    recorded = read_lock(read_file).stages.values()
    digests = {
        entry["path"]: entry["md5"] for stage in recorded for entry in stage["deps"] + stage["outs"]
    }
    predictions, bins = here.predictions, params.evaluate.calibration_bins
    rows = _class_rows(here)
    shape, batch = preprocessed["shape"], params.train.batch_size
    epochs = len(read_history(read_file(paths.HISTORY), str(paths.HISTORY))["epoch"])
    total = int(counts["train"].sum())
    per_epoch = total // batch if params.train.drop_last else -(-total // batch)
    return {
        "names": here.class_names,
        "shape": shape,
        "batch": f"{(1, *shape)}",
        "size": f"{shape[0]}x{shape[1]} pixels in {'colour' if shape[2:] else 'grey'}",
        "largest": preprocessed["pixels"]["largest"],
        "files": here.dataset,
        "counts": counts,
        "spread": [
            (what, *(of(count) for count in counts.values())) for what, of in SPREAD.items()
        ],
        "uneven": score.uneven(np.repeat(np.arange(len(rows)), counts["train"])),
        "duplicates": preprocessed["duplicates"],
        "weights": trained["weights"],
        "epochs": epochs,
        "steps": epochs * per_epoch,
        "final": trained["final"],
        "best": trained["best"],
        "loss": scored["loss"],
        "guess": int(counts["train"].argmax()),
        "errors": int((~predictions.correct).sum()),
        "metrics": _metrics(here),
        "calibration": score.calibration_error(predictions.probability, predictions.correct, bins),
        "confidence": float(predictions.probability.mean()),
        "sure": [_sure(here, least) for least in SURE],
        "classes": _shown(rows),
        "untested": [row.name for row in rows if row.recall is None],
        "weakest": min((row for row in rows if row.recall), key=_recall),
        "confusions": _confusions(here),
        "origin": _origin(digests[str(paths.MODEL)]),
        "digests": digests,
    }


def _metrics(here: Results) -> list[Metric]:
    """The accuracy and, where classes are uneven, what counts each class the same."""
    found, classes = here.predictions, len(here.class_names)
    right, total = int(found.correct.sum()), len(found.labels)
    metrics = [Metric("Accuracy", "accuracy", _share(right, total))]
    if score.uneven(found.labels):
        for name, kind, key in (
            ("Balanced accuracy", "balanced_accuracy", "balanced_accuracy"),
            ("Macro F1", "f1", "macro_f1"),
        ):
            value = here.value(key)
            half = half_width(key, found.labels, found.predicted, classes)
            metrics.append(
                Metric(name, kind, Share(value, max(0, value - half), min(1, value + half)))
            )
    return metrics


def _share(right: int, total: int) -> Share:
    return Share(right / total, *score.wilson_interval(right, total))


def _class_rows(here: Results) -> list[ClassRow]:
    """A row for each class, in order."""
    found, classes = here.predictions, len(here.class_names)
    images, chosen, right = (
        np.bincount(of, minlength=classes).tolist()
        for of in (found.labels, found.predicted, found.labels[found.correct])
    )
    return [
        ClassRow(
            name,
            images[index],
            _share(right[index], images[index]) if images[index] else None,
            right[index] / chosen[index] if chosen[index] else None,
        )
        for index, name in enumerate(here.class_names)
    ]


def _recall(row: ClassRow) -> float:
    """By which classes are ranked; those without test images come last."""
    return row.recall.value if row.recall else 2.0


def _shown(rows: list[ClassRow]) -> list[ClassRow]:
    """All classes, or of many those that the model does worst on."""
    return rows if len(rows) <= CLASSES else sorted(rows, key=_recall)[:CLASSES]


def _confusions(here: Results) -> list[Confusion]:
    """The most frequent mistakes."""
    found, names = here.predictions, here.class_names
    wrong = ~found.correct
    images = np.bincount(found.labels)
    pairs, counts = np.unique(
        found.labels[wrong] * len(names) + found.predicted[wrong], return_counts=True
    )
    most = np.argsort(-counts, kind="stable")[:CONFUSIONS].tolist()
    return [
        Confusion(
            names[actual], names[predicted], int(counts[one]), float(counts[one] / images[actual])
        )
        for one in most
        for actual, predicted in [divmod(int(pairs[one]), len(names))]
    ]


def _sure(here: Results, least: float) -> Sure:
    chosen: NDArray[np.bool_] = here.predictions.probability >= least
    count = int(chosen.sum())
    return Sure(least, count, float(here.predictions.correct[chosen].mean()) if count else None)


def _origin(model: str) -> dict[str, Any]:
    """The processor and the versions that made the model with this digest, if on record."""
    with suppress(InputError, LookupError, AttributeError):
        made = read_json(read_file(paths.PROVENANCE), str(paths.PROVENANCE))
        if made["model_md5"] == model:
            return {"processor": made["processor"], "versions": dict(made["versions"].items())}
    return {}


def _settings(params: Params) -> Markup:
    """All that determined the model and its results, in params.yaml's own format."""
    everything = params.model_dump()
    name = params.model.name
    chosen = {
        **{key: everything[key] for key in ("dataset", "preprocess")},
        "model": {"name": name, name: everything["model"][name]},
        **{key: everything[key] for key in ("train", "augment")},
    }
    yaml, written = YAML(), StringIO()
    yaml.width = 10_000  # columns; no line is broken
    yaml.dump(chosen, written)
    return Markup(written.getvalue())  # noqa: S704, it is in a block of code


def _split(params: Preprocess, counts: Counts) -> str:
    """Where the test and the validation images come from, as far as their numbers tell."""
    train, validation, test = (int(counts[name].sum()) for name in SPLITS)
    everything = train + test + (validation if params.validation != "test" else 0)
    kept = params.duplicates == "keep"  # else some training images are not counted
    own = "unless it names some of its own"
    sentences = ["The dataset names its test images."]
    if not kept or test == _of(params.test, everything):
        sentences = [f"The test images are {_amount(params.test)} of the dataset's images, {own}."]
    if params.validation == "test":
        sentences.append("The validation images are the test images.")
    elif kept and validation != _of(params.validation, train + validation):
        sentences.append("It names its validation images.")
    else:
        held_out = f"{_amount(params.validation)} of its training images"
        sentences.append(f"The validation images are {held_out}, {own}.")
    if own in " ".join(sentences):
        sentences.append(
            f"What is held out is a share of each class, chosen at random with seed {params.seed}."
        )
    return " ".join(sentences)


def _of(share: float, total: int) -> int:
    """How many of `total` images are held out: a count from 1, or a share below."""
    return int(share) if share >= 1 else round(share * total)


def _amount(share: float) -> str:
    return f"{share:,}" if share >= 1 else f"{100 * share:.4g}%"


def _prepared(dataset: Dataset, params: Preprocess, shape: list[int]) -> str:
    """How a picture becomes an image that the model takes."""
    size = f"{shape[0]}x{shape[1]} pixels"
    if dataset.about.prepare == "mnist":
        return (
            f"A photo or a drawing of a digit is brought into MNIST's form: light on black, the "
            f"longer side 20/28 of the image's {size}, the centre of mass in the middle, thin "
            f"strokes thickened; the program predict does that. An image that is in this form "
            f"already is left as it is."
        )
    return (
        f"A picture is turned upright if its EXIF data say so, put on white where it is "
        f"transparent, converted to {'RGB' if shape[2:] else 'grey'}, and scaled to {size}; if it "
        f"has another shape, it is {FITTED[params.fit]}."
    )


def _said(dataset: Dataset) -> list[Markup]:
    """What the dataset's folder says of it, such as its origin, as paragraphs of Markdown."""
    said = []
    with suppress(InputError):
        lines = read_file(dataset.description).decode(errors="replace").splitlines()
        comment = takewhile(lambda line: line.startswith("#"), lines)
        said.append(text.escape(" ".join(line.lstrip("#").strip() for line in comment)))
    with suppress(InputError):
        readme = dataset.location / "README.md"
        lines = read_file(readme).decode(errors="replace").splitlines()
        headings = [re.sub(r"^#+ +(.*)$", r"**\1**", line) for line in lines[:LINES]]
        more = len(lines) - LINES
        said += ["\n".join(headings), *([f"… and {more:,} more lines"] if more > 0 else [])]
    return [Markup(paragraph) for paragraph in said if paragraph]  # noqa: S704


def main(options: argparse.Namespace) -> None:
    """Writes the card."""
    written = card(options.license)
    write_output(options.out, written.encode())
    emit(f"{options.out}\n", sys.stdout)


def _license(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        raise argparse.ArgumentTypeError(f"found {name!r}, expected a name of {LICENSES}")
    return name


def parser() -> Parser:
    """The arguments."""
    arguments = Parser("pipeline.card", __doc__)
    arguments.add_argument(
        "--out",
        type=Path,
        default=CARD,
        metavar="FILE",
        help="where to write the card (default: %(default)s)",
    )
    arguments.add_argument(
        "--license",
        type=_license,
        default=LICENSE,
        metavar="NAME",
        help=f"under which you publish the model, a name of {LICENSES} (default: %(default)s, this "
        f"code's)",
    )
    return arguments


if __name__ == "__main__":
    run(parser(), main)

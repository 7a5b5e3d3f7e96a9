"""Classifies pictures, or the rows of a table of pixels, with a model file.

A picture is prepared like those that the model learned from: its file says how. The answer is a
class, the probability that the model gives it, and the runners-up.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.special import softmax

from pipeline import paths
from pipeline.artifacts import csv_bytes, json_bytes, png_bytes, write_output
from pipeline.data import inputs
from pipeline.data.inputs import Images
from pipeline.errors import InputError, listed
from pipeline.program import Parser, emit, printable, run, share
from pipeline.repository import commit_of, dvc
from pipeline.training import inference
from pipeline.training.model_file import CONFIDENCE, ModelFile

ANSWERED = 48  # pictures that --show draws
ANSWERS = 3  # for an image: its class and the runners-up
HEADER = ("image", "class", "probability", "second", "probability_2", "third", "probability_3")
WIDEST = 60  # characters of a name in a table


@dataclass(frozen=True)
class Answer:
    """What the model says of an image."""

    image: str
    classes: tuple[str, ...]  # at most ANSWERS, the most probable first
    probabilities: tuple[float, ...]

    def cells(self) -> Iterator[str]:
        """What a table says, see HEADER."""
        pairs = zip(self.classes, self.probabilities, strict=True)
        yield from (self.image, *chain.from_iterable((name, f"{p:.6f}") for name, p in pairs))
        yield from [""] * 2 * (ANSWERS - len(self.classes))

    def unsure(self, confidence: float) -> bool:
        """Whether the probability of the class is below `confidence`."""
        return self.probabilities[0] < confidence

    def shares(self) -> list[str]:
        """The probabilities in percent; none is shown as 100%."""
        return [f"{min(probability, 0.999):.1%}" for probability in self.probabilities]


def classify(model: ModelFile, images: Images) -> list[Answer]:
    """The answer for each image.

    Raises:
        InputError: the model cannot be used.
    """
    answers: list[Answer] = []
    names = np.array(model.class_names)
    for logits in inference.predict(model.path, images.pixels, len(names)):
        probabilities = softmax(logits, axis=-1)  # (M, classes)
        order = np.argsort(-probabilities, axis=-1, kind="stable")[:, :ANSWERS]
        answers += [
            Answer(image, tuple(classes), tuple(values))
            for image, classes, values in zip(
                images.names[len(answers) :],
                names[order].tolist(),
                np.take_along_axis(probabilities, order, axis=-1).tolist(),
                strict=False,
            )
        ]
    return answers


def as_text(answers: Sequence[Answer], confidence: float) -> str:
    """A table for a terminal."""
    rows = [("picture", "class", "", "or")]
    for answer in answers:
        (best, *others), (percent, *rest) = answer.classes, answer.shares()
        pairs = zip(others, rest, strict=True)
        runners_up = ", ".join(f"{name} {value}" for name, value in pairs if value != "0.0%")
        unsure = "   unsure" if answer.unsure(confidence) else ""
        rows.append((printable(answer.image), best, percent, runners_up + unsure))
    widths = [min(WIDEST, max(map(len, column))) for column in zip(*rows, strict=True)]
    return "".join(
        f"{image:{widths[0]}}  {best:{widths[1]}}  {percent:>{widths[2]}}  {rest}".rstrip() + "\n"
        for image, best, percent, rest in rows
    )


def as_json(
    answers: Sequence[Answer], images: Images, model: ModelFile, confidence: float
) -> bytes:
    """Everything that is known of each image."""
    return json_bytes(
        {
            "model": model.name,
            "classes": list(model.class_names),
            "confidence": confidence,
            "images": [
                {
                    "image": answer.image,
                    "class": answer.classes[0],
                    "probability": answer.probabilities[0],
                    "unsure": answer.unsure(confidence),
                    "runners_up": [
                        {"class": name, "probability": probability}
                        for name, probability in zip(
                            answer.classes[1:], answer.probabilities[1:], strict=True
                        )
                    ],
                }
                for answer in answers
            ],
            "unread": images.unread,
        }
    )


@contextmanager
def _model(path: Path, revision: str | None) -> Iterator[ModelFile]:
    """The model at `path`, in a git revision if one is named."""
    if revision is None:
        yield ModelFile.read(path)
        return
    commit = commit_of(revision)
    with TemporaryDirectory() as folder:
        found = Path(folder, path.name)
        dvc("get", f"--rev={commit}", f"--out={found}", ".", str(path), check=False)
        if not found.is_file():
            raise InputError(
                f"{path} of {revision} is neither in DVC's cache nor on its remote; check that "
                f"commit out and run dvc repro, or take another one"
            )
        yield ModelFile.read(found, f"{path} of {revision}")


def _picture(
    images: Images, answers: Sequence[Answer], model: ModelFile, confidence: float
) -> bytes:
    """What came in, what the model saw, and what it said."""
    from pipeline import figures

    count = min(ANSWERED, len(answers))
    said = [
        f"{answer.classes[0]}  {answer.shares()[0]}"
        + (" unsure" if answer.unsure(confidence) else "")
        for answer in answers[:count]
    ]
    with figures.style():
        figure = figures.answers(
            [inputs.original(images, number, model.preparation) for number in range(count)],
            images.pixels[:count],
            model.largest_pixel,
            images.names[:count],
            said,
        )
        return png_bytes(figure)


def main(options: argparse.Namespace) -> int:
    """Classifies, and prints or writes the answers."""
    header = options.header.split(",")
    if not 1 < len(header) <= len(HEADER):
        raise InputError(
            f"--header: found {options.header!r}, expected 2 to {len(HEADER)} names, such as "
            f"ImageId,Label"
        )
    with _model(options.model, options.rev) as model, TemporaryDirectory() as folder:
        images = inputs.read(
            options.locations,
            model.preparation,
            scratch=Path(folder),
            split=options.split,
        )
        answers = classify(model, images)
        written = {}
        if options.csv:
            rows = ([*answer.cells()][: len(header)] for answer in answers)
            written[options.csv] = csv_bytes(header, rows)
        if options.json:
            written[options.json] = as_json(answers, images, model, options.confidence)
        if options.show:
            written[options.show] = _picture(images, answers, model, options.confidence)
    for path, content in written.items():
        write_output(path, content)
        shown = min(len(answers), ANSWERED if path == options.show else len(answers))
        first = f"the first {shown:,} of " if shown < len(answers) else ""
        emit(f"{path}: {first}{len(answers):,} classified\n", sys.stdout)
    if not (options.csv or options.json):
        emit(as_text(answers, options.confidence), sys.stdout)
    unsure = sum(answer.unsure(options.confidence) for answer in answers)
    print(
        f"{model.name} knows the classes {listed(model.class_names)}; unsure, below "
        f"{options.confidence:.0%}: {unsure:,} of {len(answers):,}",
        file=sys.stderr,
    )
    return InputError.exit_code if images.unread else 0


def _target(suffix: str) -> Callable[[str], Path]:
    """The value of an option that names a file to write: one of its kind, in a folder that exists.

    A pipe or a device may have any name.
    """

    def target(text: str) -> Path:
        path = Path(text)
        special = path.exists() and not path.is_file() and not path.is_dir()
        if path.suffix.lower() != suffix and not special:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected a name with {suffix}")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(f"{path.parent}: no such folder")
        return path

    return target


def _location(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("found nothing, expected make predict FILES=FOLDER")
    return text


def parser() -> Parser:
    """The arguments."""
    arguments = Parser("pipeline.predict", __doc__)
    add = arguments.add_argument
    add(
        "locations",
        nargs="+",
        type=_location,
        metavar="FILE",
        help="a picture, a folder, a pattern such as '*.png', a .csv table of pixels, or - for a "
        "picture on standard input",
    )
    add("--csv", type=_target(".csv"), metavar="FILE", help="write a table")
    add(
        "--json",
        type=_target(".json"),
        metavar="FILE",
        help="write everything that is known of each picture",
    )
    add(
        "--show",
        type=_target(".png"),
        metavar="FILE",
        help="draw what came in, what the model saw, and what it said",
    )
    add(
        "--header",
        default=",".join(HEADER),
        metavar="NAMES",
        help="of the table; it has as many columns as there are names (default: %(default)s)",
    )
    add(
        "--confidence",
        type=share,
        default=CONFIDENCE,
        metavar="P",
        help="call answers of a lower probability unsure (default: %(default)s)",
    )
    add("--split", action="store_true", help="read several digits in a picture one by one")
    add(
        "--model",
        type=Path,
        default=paths.MODEL,
        metavar="FILE",
        help="another model (default: %(default)s)",
    )
    add("--rev", metavar="REV", help="the model of this git revision, from DVC's cache or remote")
    return arguments


if __name__ == "__main__":
    run(parser(), main)

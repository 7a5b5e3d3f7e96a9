"""Measures `predict` on photographed and drawn digits, with each step of the preparation left out.

The photos are rendered, see benchmarks/photos.py. With --drawings, pictures that others drew are
measured, too: the first character of a file's name is its label. A picture that is refused counts
as wrong. Writes benchmarks/PHOTOS.md.
"""

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.photos import SCENES, render
from pipeline import paths
from pipeline.artifacts import write_files
from pipeline.data import files, handwriting
from pipeline.data.handwriting import SIDE
from pipeline.data.prepare import (
    PictureError,
    Preparation,
    prepare,
    read_picture,
    without_warnings,
)
from pipeline.data.split import Split
from pipeline.program import Parser, run
from pipeline.training import inference

RESULTS = Path("benchmarks/PHOTOS.md")
MNIST = Preparation(SIDE, SIDE, 1, "mnist")
HALF = 127  # of 255

Picture = tuple[str, int, bytes]  # its kind, its label, the file
Image28 = NDArray[np.uint8]  # (28, 28)


def by_the_border(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `handwriting.dark_on_light`, by what is mostly used: the median of the border."""
    edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return 255 - picture if np.median(edges) <= HALF else picture


def by_the_box(mass: NDArray[np.float64], length: int) -> tuple[int, int]:
    """As `handwriting._centred`, of the box around the digit instead of its mass."""
    return (length - len(mass)) // 2, len(mass)


STEPS: dict[str, dict[str, object]] = {
    "the whole recipe": {},
    "ink and paper told apart by the border": {"dark_on_light": by_the_border},
    "without the paper's own brightness": {"darkness": lambda picture: 255 - picture},
    "threshold at half instead of Otsu's": {"_otsu": lambda _: HALF},
    "faint lines kept": {"FAINT": 0},
    "specks kept": {"without_specks": lambda ink: ink},
    "thin strokes left thin": {"PEN": 0},
    "centred by the box": {"_centred": by_the_box},
}


def recipe(step: str, content: bytes) -> Image28:
    """The image that the model sees, with what STEPS says of `step`; black if it is refused."""
    with ExitStack() as stack:
        stack.enter_context(without_warnings())
        for name, instead in STEPS[step].items():
            stack.enter_context(patch.object(handwriting, name, instead))
        try:
            return prepare(read_picture(content, MNIST), MNIST)
        except PictureError:
            return np.zeros((SIDE, SIDE), np.uint8)


def squashed(content: bytes) -> Image28:
    """What most tutorials do: grey, 28x28, inverted if most of it is light."""
    with without_warnings():
        image = read_picture(content).convert("L")
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return 255 - small if np.median(small) > HALF else small


WAYS: dict[str, Callable[[bytes], Image28]] = {
    "squashed to 28x28 and inverted": squashed,
    **{step: partial(recipe, step) for step in STEPS},
}


def drawings(folder: Path) -> Iterator[Picture]:
    """Pictures below `folder`, of a kind for each folder there."""
    for path in files.walk(folder):
        yield f"drawings {Path(path).parent}", int(Path(path).name[0]), (folder / path).read_bytes()


def right(model: Path, images: Image28, labels: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(N,) whether the model's class is the label."""
    classes = len(inference.about(model)["class_names"])
    logits = np.concatenate([*inference.predict(model, images, classes)])
    correct: NDArray[np.bool_] = np.equal(logits.argmax(axis=-1), labels)
    return correct


def table(header: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(options: argparse.Namespace) -> None:
    """Measures everything."""
    rendered = render(Split.load(paths.TEST), options.each)
    pictures: list[Picture] = [(str(scene), label, content) for scene, label, content in rendered]
    photos = len(pictures)
    if options.drawings:
        pictures += drawings(options.drawings)
    kinds = [name for name, _ in groupby(kind for kind, _, _ in pictures)]
    of_kind = np.array([kinds.index(kind) for kind, _, _ in pictures])
    labels = np.array([label for _, label, _ in pictures])
    results: dict[str, list[NDArray[np.bool_]]] = {}
    with ProcessPoolExecutor() as executor:
        for name, way in WAYS.items():
            contents = (content for _, _, content in pictures)
            images = np.stack([*executor.map(way, contents, chunksize=16)])
            results[name] = [right(model, images, labels) for model in options.models]
            print(name, [f"{of_model[:photos].mean():.1%}" for of_model in results[name]])
    models = [model.stem for model in options.models]
    per_step = [
        [name, *(f"{of_model[:photos].mean():.1%}" for of_model in of_models)]
        for name, of_models in results.items()
    ]
    whole, before = results["the whole recipe"], results["squashed to 28x28 and inverted"]
    per_kind: list[list[Any]] = [
        [kind, f"{(of_kind == number).sum()}"]
        + [
            f"{ok[of_kind == number].sum()}"
            for pair in zip(before, whole, strict=True)
            for ok in pair
        ]
        for number, kind in enumerate(kinds)
    ]
    columns = [f"{name}, {how}" for name in models for how in ("squashed", "recipe")]
    text = (
        f"# Photographed digits\n`python -m benchmarks.ablation`: {photos:,} rendered photos and "
        f"drawings of {len(SCENES)} kinds, see benchmarks/photos.py. Shares of right answers:\n\n"
        + table(["preparation", *models], per_step)
        + "\nRight answers of each kind:\n\n"
        + table(["kind", "pictures", *columns], per_kind)
    )
    write_files({RESULTS: text.encode()})


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.ablation", __doc__)
    add = arguments.add_argument
    add("models", type=Path, nargs="+", metavar="MODEL", help="model files that learned from MNIST")
    add("--each", type=int, default=70, metavar="N", help="of each kind (default: %(default)s)")
    add("--drawings", type=Path, metavar="FOLDER", help="pictures that others drew")
    return arguments


if __name__ == "__main__":
    run(parser(), main)

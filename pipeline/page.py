"""Writes a page to draw on, which asks the model while you draw.

The page contains everything it needs: the weights, the preparation of drawings and photos, and the
network, in plain JavaScript. It makes no request, so it works from a disk, on any device with a
browser. The same model and test images make the same bytes.
"""

import argparse
import json
import math
import sys
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from pipeline import paths, score
from pipeline.artifacts import write_output
from pipeline.data.split import Split
from pipeline.errors import InputError, IntegrityError
from pipeline.program import Parser, emit, run
from pipeline.records import Predictions
from pipeline.training import backend
from pipeline.training.model_file import CONFIDENCE, ModelFile

if TYPE_CHECKING:
    from pipeline.training.portable import Layer

WEB = Path(__file__).with_name("web")
TEMPLATE = "page.html"
SCRIPTS = ("network.js", "handwriting.js", "ink.js", "photo.js", "draw.js")  # in order
BARS = 10  # classes that are shown: of more, the most probable
EXAMPLES = 12  # mistakes to trace


@dataclass(frozen=True)
class Tested:
    """The test images, and what the model makes of them."""

    images: Split
    predictions: Predictions


@dataclass(frozen=True)
class Example:
    """A test image that the model gets wrong."""

    index: int
    actual: str
    predicted: str
    sure: str  # in percent
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Numbers:
    """How weights are stored on the page."""

    name: str  # float16 or float32
    reason: str  # for the console


def page(path: Path) -> tuple[str, Numbers]:
    """The page for a `.keras` file, and how its weights are stored there.

    Raises:
        InputError: it is no model that the page can run.
        IntegrityError: its outputs are not finite.
    """
    model = _readable(path)
    backend.start()
    from pipeline.training.portable import layers_of

    layers = layers_of(path, model.preparation.shape)
    tested = _tested(model, layers)
    numbers = _numbers(model, layers, tested)
    return _written(model, layers, tested, numbers.name), numbers


def _readable(path: Path) -> ModelFile:
    """What the file at `path` says, if the page can prepare images for it."""
    model = ModelFile.read(path)
    how = model.preparation
    if how.recipe != "mnist":
        raise InputError(
            f"{path}: is no model for handwritten digits, as its pictures are prepared by "
            f"{how.recipe!r}; expected one of a dataset with prepare: mnist in its dataset.yaml"
        )
    if how.channels != 1:
        raise InputError(f"{path}: takes images of {how.shape}, expected grey ones")
    return model


def _written(
    model: ModelFile, layers: Sequence["Layer"], tested: Tested | None, numbers: str
) -> str:
    examples = _examples(tested) if tested else []
    names, (height, width) = model.class_names, model.preparation.shape
    content = {
        "names": names,
        "sure": CONFIDENCE,
        "network": description(layers, model.preparation.shape, numbers),
        "examples": [_base64(example.pixels) for example in examples],
    }
    scripts = [Markup((WEB / name).read_text(encoding="utf-8")) for name in SCRIPTS]  # noqa: S704
    environment = Environment(
        loader=FileSystemLoader(WEB),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        scripts=scripts,
        hashes=[_content_hash(script) for script in scripts],
        content=_json(content),
        names=names,
        bars=min(BARS, len(names)),
        sure=CONFIDENCE,
        height=height,
        width=width,
        examples=examples,
        weights=sum(weight.size for layer in layers for weight in layer.weights),
        predictions=tested and tested.predictions,
    )


def _tested(model: ModelFile, layers: Sequence["Layer"]) -> Tested | None:
    """The test images with the model's answers, if they are here and are such as it takes."""
    with suppress(InputError):
        images = Split.load(paths.TEST)
        found = (images.class_names, images.images.shape[1:], images.largest_pixel)
        if found == (model.class_names, model.preparation.shape, model.largest_pixel):
            return Tested(images, _predictions(model, layers, images))
    return None


def _predictions(model: ModelFile, layers: Sequence["Layer"], images: Split) -> Predictions:
    """What `model` makes of `images` with the weights of `layers`."""
    from pipeline.training.portable import logits

    found = logits(model.path, layers, images.images, len(images.class_names))
    return score.predictions_of(found, images.labels)[0]


def _numbers(model: ModelFile, layers: Sequence["Layer"], tested: Tested | None) -> Numbers:
    """float16 if all answers on the test images are the same, else float32."""
    if not tested:
        return Numbers("float32", "there are no test images here to try float16 on")
    try:
        rounded = _predictions(model, [layer.rounded() for layer in layers], tested.images)
    except IntegrityError:
        return Numbers("float32", "some are out of the range of float16")
    different = int((rounded.predicted != tested.predictions.predicted).sum())
    images = f"{len(rounded.labels):,} test images"
    if different:
        return Numbers("float32", f"float16 would change the answer for {different:,} of {images}")
    return Numbers("float16", f"all {images} get the same answer as with float32")


def description(layers: Sequence["Layer"], shape: tuple[int, ...], numbers: str) -> dict[str, Any]:
    """What network.js decodes.

    Args:
        layers: in order.
        shape: of an image.
        numbers: how weights are stored, float16 or float32.
    """
    dtype = np.dtype(numbers).newbyteorder("<")
    weights = [weight for layer in layers for weight in layer.weights]
    stored = b"".join(weight.astype(dtype).tobytes() for weight in weights)
    return {
        "shape": shape,
        "layers": [
            {
                "kind": layer.kind,
                **layer.settings,
                "shapes": [weight.shape for weight in layer.weights],
            }
            for layer in layers
        ],
        "numbers": numbers,
        "weights": b64encode(stored).decode(),
    }


def _examples(tested: Tested) -> list[Example]:
    """The most confident mistakes."""
    names, predictions = tested.images.class_names, tested.predictions
    return [
        Example(
            index,
            names[predictions.labels[index]],
            names[predictions.predicted[index]],
            _percent(float(predictions.probability[index])),
            tested.images.images[index],
        )
        for index in score.most_confident_mistakes(predictions)[:EXAMPLES].tolist()
    ]


def _percent(share: float) -> str:
    """With one decimal, and never rounded up to 100%."""
    return f"{math.floor(1000 * share) / 10:.1f}%"


def _base64(pixels: NDArray[np.uint8]) -> str:
    return b64encode(pixels.tobytes()).decode()


def _json(content: dict[str, Any]) -> Markup:
    """JSON for a script element, which no class name can end."""
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704, it contains no markup any more


def _content_hash(script: str) -> str:
    """What a Content-Security-Policy calls `script` (W3C, CSP Level 3, section 2.3.1)."""
    return f"sha256-{b64encode(sha256(script.encode()).digest()).decode()}"


def main(options: argparse.Namespace) -> None:
    """Writes the page."""
    written, numbers = page(options.model)
    content = written.encode()
    write_output(options.out, content)
    size = f"{len(content) / 1e6:.2f} MB"
    emit(f"{options.out}: {size}, weights as {numbers.name}: {numbers.reason}\n", sys.stdout)


def parser() -> Parser:
    """The arguments."""
    arguments = Parser("pipeline.page", __doc__)
    arguments.add_argument(
        "--model",
        type=Path,
        default=paths.MODEL,
        metavar="FILE",
        help="another model (default: %(default)s)",
    )
    arguments.add_argument(
        "--out",
        type=Path,
        default=paths.PAGE,
        metavar="FILE",
        help="where to write the page (default: %(default)s)",
    )
    return arguments


if __name__ == "__main__":
    run(parser(), main)

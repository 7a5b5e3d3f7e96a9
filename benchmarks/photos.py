"""Renders photos and drawings of handwritten digits, from the strokes of MNIST's test images.

The strokes are thinned to a line and drawn anew: with a ball pen, a felt pen or a mouse, on plain,
ruled or squared paper, with a shadow, tilted, out of focus and with noise, as JPEG (a mouse's as
PNG). They are no photos, but everything in them is known. The same bytes every time.

Reads data/processed/test. FOLDER gets KIND/LABEL-NUMBER.SUFFIX.
"""

import argparse
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pipeline import paths
from pipeline.artifacts import replacing_folder
from pipeline.data.handwriting import BOX, SIDE
from pipeline.data.split import Split
from pipeline.errors import InputError
from pipeline.program import Parser, run

FINE = 5  # times MNIST's resolution, at which strokes are thinned
INK = 110  # of 255: the level that divides MNIST's strokes from the paper

Reals = NDArray[np.float64]


class Pen(NamedTuple):
    """What the strokes are drawn with; ranges to choose from."""

    width: tuple[float, float]  # in pixels of MNIST's 28
    darkness: tuple[float, float]  # share of the light that the ink swallows


class Scene(NamedTuple):
    """What a photo is of."""

    pen: str
    paper: str = "plain"
    shadow: bool = False
    tilt: bool = False

    def __str__(self) -> str:
        words = (self.pen, self.paper, "shadow" * self.shadow, "tilt" * self.tilt)
        return " ".join(filter(None, words))


PENS = {"ball": Pen((0.5, 1.3), (0.5, 0.8)), "felt": Pen((1.8, 3.6), (0.65, 0.92))}
MOUSE = Pen((0.3, 2.0), (1, 1))
SCENES = (
    *(
        Scene(pen, *rest)
        for pen in PENS
        for rest in (
            ("plain",),
            ("plain", True),
            ("plain", False, True),
            ("ruled",),
            ("squared",),
            ("ruled", True, True),
            ("squared", True, True),
        )
    ),
    Scene("mouse"),
)


def thinned(strokes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The strokes as lines of one pixel (Zhang and Suen, Comm. ACM 27, 1984)."""
    padded = np.pad(strokes, 1).astype(np.int8)
    inner = padded[1:-1, 1:-1]
    before = None
    while before is None or not np.array_equal(before, inner):
        before = inner.copy()
        for first_half in (True, False):
            # The neighbours, from the one above on, clockwise.
            p2, p3, p4, p5 = padded[:-2, 1:-1], padded[:-2, 2:], padded[1:-1, 2:], padded[2:, 2:]
            p6, p7, p8, p9 = padded[2:, 1:-1], padded[2:, :-2], padded[1:-1, :-2], padded[:-2, :-2]
            ring = (p2, p3, p4, p5, p6, p7, p8, p9)
            inked = np.sum(ring, axis=0)
            pairs = zip(ring, (*ring[1:], p2), strict=True)
            runs = np.sum([(one == 0) & (after == 1) for one, after in pairs], axis=0)
            a, b = (p2 * p4 * p6, p4 * p6 * p8) if first_half else (p2 * p4 * p8, p2 * p6 * p8)
            inner[(inked >= 2) & (inked <= 6) & (runs == 1) & (a == 0) & (b == 0)] = 0  # noqa: PLR2004
    return inner.astype(np.bool_)


def drawn(digit: NDArray[np.uint8], width: float) -> Image.Image:
    """The strokes of an image of MNIST, drawn with a pen `width` of its pixels wide.

    Returns:
        An image of mode L, 255 where the ink is.
    """
    side = FINE * SIDE
    fine = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    distance = ndimage.distance_transform_edt(~thinned(np.asarray(fine) > INK))
    ink = np.clip(width * FINE / 2 + 0.5 - distance, 0, 1)
    return Image.fromarray((ink * 255).astype(np.uint8))


def photo(digit: NDArray[np.uint8], scene: Scene, generator: np.random.Generator) -> bytes:
    """A JPEG of a digit on paper, 240 to 720 pixels wide.

    Args:
        digit: (28, 28), an image of MNIST.
        scene: what the photo is of.
        generator: of everything that differs from photo to photo.
    """
    uniform = generator.uniform
    pen = PENS[scene.pen]
    width = int(generator.integers(240, 720))
    height = int(width * uniform(0.75, 1.33))
    tall = uniform(0.3, 0.75) * min(width, height)  # the digit
    side = int(tall * SIDE / BOX)
    strokes = drawn(digit, uniform(*pen.width)).resize((side, side), Image.Resampling.BICUBIC)
    page = Image.new("L", (width, height))
    corner = (int(uniform(0.38, 0.62) * length - side / 2) for length in (width, height))
    page.paste(strokes, (next(corner), next(corner)))
    ink = np.asarray(page) / 255
    lines = _lines(scene.paper, (height, width), tall, generator)
    if scene.tilt:
        where = _tilted((height, width), generator)
        ink = ndimage.map_coordinates(ink, where, order=1)
        lines = ndimage.map_coordinates(lines, where, order=1, mode="wrap")
    fibres = ndimage.gaussian_filter(generator.normal(size=ink.shape), 1.2)
    reflected = uniform(0.72, 0.97) + 0.02 * fibres
    reflected *= (1 - lines * uniform(0.12, 0.35)) * (1 - ink * uniform(*pen.darkness))
    seen = reflected * _light(ink.shape, generator, shadow=scene.shadow)
    seen = ndimage.gaussian_filter(seen, uniform(0.4, 1.4) * width / 500)
    seen += generator.normal(size=seen.shape) * uniform(0.004, 0.02)
    cast = np.array([1, uniform(0.93, 1), uniform(0.82, 1)])  # of a lamp: less green, less blue
    pixels = (np.clip(seen[..., None] * cast, 0, 1) * 255 + 0.5).astype(np.uint8)
    content = BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=int(generator.integers(60, 92)))
    return content.getvalue()


def drawing(digit: NDArray[np.uint8], generator: np.random.Generator) -> bytes:
    """A PNG of a digit that a mouse has drawn, black on white or white on black."""
    strokes = drawn(digit, generator.uniform(*MOUSE.width))
    strokes = strokes.resize((2 * strokes.width, 2 * strokes.height), Image.Resampling.BICUBIC)
    page = Image.new("L", (400, 400))
    page.paste(strokes, tuple(generator.integers(0, 400 - strokes.width, 2).tolist()))
    content = BytesIO()
    light = generator.random() < 0.5  # noqa: PLR2004, half of them
    page.point(lambda level: level if light else 255 - level).save(content, "PNG")
    return content.getvalue()


def _lines(
    paper: str, shape: tuple[int, int], tall: float, generator: np.random.Generator
) -> Reals:
    """Where lines are printed, (height, width) from 0 to 1."""
    printed = np.zeros(shape)
    spacing = tall * generator.uniform(0.35, 1.1)
    thick = max(1.0, shape[1] / 500 * generator.uniform(0.6, 1.6))
    axes = {"plain": (), "ruled": (0,), "squared": (0, 1)}[paper]
    for axis in axes:
        along = np.arange(shape[axis]) - generator.uniform(0, spacing)
        off = np.abs((along + spacing / 2) % spacing - spacing / 2)
        line = np.clip(thick / 2 + 0.5 - off, 0, 1)
        printed = np.maximum(printed, line[:, None] if axis == 0 else line[None, :])
    return printed


def _tilted(shape: tuple[int, int], generator: np.random.Generator) -> Reals:
    """From where each pixel comes, (2, height, width): turned, and seen from the side."""
    y, x = (grid - length / 2 for grid, length in zip(np.indices(shape), shape, strict=True))
    angle = np.radians(generator.uniform(-12, 12))
    depth = 1 + sum(
        generator.uniform(-0.15, 0.15) * of / length
        for of, length in zip((y, x), shape, strict=True)
    )
    turned = (
        (np.sin(angle) * x + np.cos(angle) * y) / depth + shape[0] / 2,
        (np.cos(angle) * x - np.sin(angle) * y) / depth + shape[1] / 2,
    )
    return np.stack(turned)


def _light(shape: tuple[int, int], generator: np.random.Generator, *, shadow: bool) -> Reals:
    """How light it is, (height, width): a slope, and half of it in the shadow or so."""
    uniform = generator.uniform
    y, x = (grid - length / 2 for grid, length in zip(np.indices(shape), shape, strict=True))
    light: Reals = 1 + uniform(-0.12, 0.12) * y / shape[0] + uniform(-0.12, 0.12) * x / shape[1]
    if shadow:
        angle = uniform(0, 2 * np.pi)
        behind = np.sin(angle) * y + np.cos(angle) * x - uniform(-0.3, 0.3) * min(shape)
        soft = uniform(0.01, 0.25) * shape[1]
        light *= 1 - uniform(0.3, 0.62) / (1 + np.exp(-behind / soft))
    return light


def render(test: Split, each: int, seed: int = 0) -> Iterator[tuple[Scene, int, bytes]]:
    """Photos of randomly chosen digits.

    Args:
        test: MNIST's test images.
        each: how many of each scene.
        seed: the same seed renders the same bytes.

    Yields:
        The scene, the label and the file.

    Raises:
        InputError: the images are not MNIST's.
    """
    if test.images.shape[1:] != (SIDE, SIDE):
        raise InputError(
            f"{paths.TEST}: found images of {test.images.shape[1:]}, expected MNIST's of (28, 28)"
        )
    for number, scene in enumerate(SCENES):
        generator = np.random.default_rng([seed, number])
        for index in generator.integers(0, len(test.labels), each):
            digit = np.asarray(test.images[index])
            content = (
                drawing(digit, generator)
                if scene.pen == "mouse"
                else photo(digit, scene, generator)
            )
            yield scene, int(test.labels[index]), content


def main(options: argparse.Namespace) -> None:
    """Renders them."""
    test = Split.load(paths.TEST)
    with replacing_folder(options.folder) as folder:
        for number, (scene, label, content) in enumerate(render(test, options.each)):
            kind = folder / str(scene).replace(" ", "-")
            kind.mkdir(exist_ok=True)
            suffix = "png" if scene.pen == "mouse" else "jpg"
            (kind / f"{label}-{number:04}.{suffix}").write_bytes(content)
    print(f"{options.folder}: {len(SCENES) * options.each:,} pictures of {len(SCENES)} kinds")


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.photos", __doc__)
    arguments.add_argument("folder", type=Path, help="to write; replaced if it exists")
    arguments.add_argument(
        "--each", type=int, default=70, metavar="N", help="of each kind (default: %(default)s)"
    )
    return arguments


if __name__ == "__main__":
    run(parser(), main)

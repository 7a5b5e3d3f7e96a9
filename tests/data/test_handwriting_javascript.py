"""The page's preparation of drawings and photos, compared with Python's."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pipeline.data import handwriting
from tests import node
from tests.data.makers import mnist_sample

Picture = NDArray[np.uint8]

DIGITS = """
const [shapes, pixels] = process.argv.slice(2, 4).map((path) => fs.readFileSync(path));
const found = [];
let start = 0;
for (const [height, width] of JSON.parse(shapes)) {
  const values = Float64Array.from(pixels.subarray(start, start + height * width));
  start += height * width;
  const images = digits({ height, width, values }, { height: 28, width: 28 });
  found.push(images.map((image) => [...image.values]));
}
fs.writeFileSync(process.argv[4], JSON.stringify(found));
"""


def digits(pictures: list[Picture], folder: Path) -> list[list[Picture]]:
    """What handwriting.js makes of each picture."""
    paths = [folder / name for name in ("shapes.json", "pixels", "digits.json")]
    paths[0].write_text(json.dumps([picture.shape for picture in pictures]))
    paths[1].write_bytes(b"".join(picture.tobytes() for picture in pictures))
    node.run_node(DIGITS, *paths)
    return [
        [np.array(image, np.uint8).reshape(28, 28) for image in images]
        for images in json.loads(paths[2].read_text())
    ]


def drawing(generator: np.random.Generator, largest: int) -> Picture:
    """Strokes of a pen on paper, of any size up to `largest`, some with noise or a shadow."""
    height, width = generator.integers(20, largest + 1, 2).tolist()
    paper, ink = (240, 20) if generator.random() < 0.5 else (10, 230)
    image = Image.new("L", (width, height), paper)
    draw = ImageDraw.Draw(image)
    for _ in range(generator.integers(0, 5)):
        corners = generator.uniform(0, (width, height), (generator.integers(2, 7), 2))
        pen = int(generator.integers(1, max(2, min(height, width) // 8)))
        draw.line([(x, y) for x, y in corners.tolist()], ink, pen, "curve")
    pixels = np.asarray(image, np.float64)
    light = np.linspace(generator.uniform(0.3, 1), 1, width)
    noise = generator.normal(0, generator.uniform(0, 40), pixels.shape)
    kind = generator.integers(0, 4)
    pixels = pixels * light if kind == 1 else pixels + noise if kind == 2 else pixels
    return pixels.clip(0, 255).astype(np.uint8)


TWO_BARS = np.full((60, 90), 255, np.uint8)
TWO_BARS[10:50, [20, 21, 22, 60, 61, 62]] = 0

ODD = [  # of two digits, of none, and what is hardly a picture
    TWO_BARS,
    np.zeros((50, 50), np.uint8),
    np.full((1, 1), 200, np.uint8),
    np.arange(70, dtype=np.uint8)[None],
    np.arange(200, dtype=np.uint8)[:, None],
    np.tile(np.array([[0, 255], [255, 0]], np.uint8), (20, 30)),
    np.random.default_rng(0).integers(0, 256, (90, 120)).astype(np.uint8),
]


@pytest.mark.parametrize(
    ("count", "largest"),
    [
        (100, 150),
        pytest.param(
            500,
            handwriting.LARGEST,
            marks=pytest.mark.long("pipeline/data/handwriting.py", "pipeline/web"),
        ),
    ],
)
def test_the_same_bytes(count: int, largest: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(count)
    pictures = [*ODD, *mnist_sample()["test"][0][:20]]
    pictures += [drawing(generator, largest) for _ in range(count)]
    expected = [handwriting.digits(picture) for picture in pictures]
    assert {0, 1, 2} <= {len(images) for images in expected}
    for found, images in zip(digits(pictures, tmp_path), expected, strict=True):
        np.testing.assert_array_equal(found, images)


GREY = """
const data = fs.readFileSync(process.argv[2]);
const grey = greyOf({ data, height: data.length / 4, width: 1 });
fs.writeFileSync(process.argv[3], Uint8Array.from(grey.values));
"""


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([(255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)], [76, 150, 29]),
        ([(0, 0, 0, 255), (0, 0, 0, 51), (9, 9, 9, 0)], [0, 204, 255]),  # dark on white
        ([(255, 255, 255, 255), (255, 255, 255, 51), (9, 9, 9, 0)], [255, 51, 0]),  # on black
    ],
)
def test_grey(pixels: list[tuple[int, ...]], expected: list[int], tmp_path: Path) -> None:
    (tmp_path / "pixels").write_bytes(bytes(value for pixel in pixels for value in pixel))
    node.run_node(GREY, tmp_path / "pixels", tmp_path / "grey")
    assert [*(tmp_path / "grey").read_bytes()] == expected


def test_grey_is_pillows(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5_000, 4)).astype(np.uint8)
    colours[:, 3] = 255
    (tmp_path / "pixels").write_bytes(colours.tobytes())
    node.run_node(GREY, tmp_path / "pixels", tmp_path / "grey")
    expected = Image.fromarray(colours[None, :, :3]).convert("L").tobytes()
    assert (tmp_path / "grey").read_bytes() == expected


def test_a_stroke_covers_its_area(tmp_path: Path) -> None:
    script = """
      const ink = blankPaper();
      drawStroke(ink, [[50, 100], [150, 100]]);
      fs.writeFileSync(process.argv[2], ink);
    """
    node.run_node(script, tmp_path / "ink")
    ink = np.frombuffer((tmp_path / "ink").read_bytes(), np.uint8).reshape(208, 208)
    assert ink[93:107, 50:150].min() == 255  # a pen of 15 pixels
    assert not ink[:91].any()
    assert not ink[109:].any()
    area = 100 * 15 + math.pi * 7.5**2  # a bar, and half a circle at each end
    assert ink.sum() / 255 == pytest.approx(area, rel=0.005)

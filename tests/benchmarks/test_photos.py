"""The photos that the preparation of handwriting is measured on."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from benchmarks.ablation import MNIST, STEPS, recipe, squashed
from benchmarks.photos import SCENES, drawn, render, thinned
from pipeline.data.prepare import prepare, read_picture
from pipeline.data.split import Split
from pipeline.errors import InputError
from tests.data.support import png


def bars(count: int) -> Split:
    """MNIST's ones, upright."""
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 4:24, 12:16] = 255
    return Split(images, np.ones(count, np.uint8), tuple("0123456789"), 255)


def test_a_stroke_is_thinned_to_a_line() -> None:
    stroke = np.zeros((40, 40), np.bool_)
    stroke[5:35, 15:24] = True
    line = thinned(stroke)
    assert line.sum(axis=1).max() == 1
    assert (line.sum(axis=1) == 1).sum() > 20
    assert np.flatnonzero(line.any(axis=0)).tolist() == [19]  # the middle of 15 to 23


def test_a_stroke_has_the_width_of_the_pen() -> None:
    ink = np.asarray(drawn(bars(1).images[0], 2.0))
    assert (ink[70] > 127).sum() == pytest.approx(10, abs=1)  # 5 for each of MNIST's pixels


def test_the_same_pictures_of_each_scene_every_time() -> None:
    first, second = ([*render(bars(3), 1)] for _ in range(2))
    assert first == second
    assert [scene for scene, _, _ in first] == [*SCENES]
    assert len({content for _, _, content in first}) == len(SCENES)
    for scene, label, content in first:
        assert label == 1
        with Image.open(BytesIO(content)) as picture:
            assert picture.format == ("PNG" if scene.pen == "mouse" else "JPEG")


def test_the_recipe_finds_the_bar_in_each_scene() -> None:
    for scene, _, content in render(bars(3), 1):
        found = prepare(read_picture(content, MNIST), MNIST)
        tall, wide = (found.any(axis=axis).sum() for axis in (1, 0))
        assert (tall, wide < 12) == (20, True), scene


def test_other_images_are_refused() -> None:
    digits = Split(np.zeros((1, 8, 8), np.uint8), np.zeros(1, np.uint8), ("0",), 16)
    with pytest.raises(InputError, match=r"expected MNIST's of \(28, 28\)"):
        next(render(digits, 1))


@pytest.mark.parametrize("step", [*STEPS][1:])
def test_each_step_makes_a_difference(step: str) -> None:
    page = np.full((140, 140), 220, np.uint8)
    page[:, 60:] = 90  # a shadow
    page[::4] = page[::4] // 4 * 3  # lines
    page[40:120, 70:78], page[40:46, 50:78] = 20, 50
    page[60:63, 20:23] = 20  # a speck
    content = png(page)
    assert not np.array_equal(recipe(step, content), recipe("the whole recipe", content))


def test_the_plain_way() -> None:
    page = np.full((28, 28), 200, np.uint8)
    page[:, 14] = 0
    assert squashed(png(page))[9, 13:16].tolist() == [55, 255, 55]

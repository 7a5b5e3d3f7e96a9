"""A digit on paper as MNIST would have stored it."""

import gzip
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.data.handwriting import BLANK, PEN, SIDE, digits, in_form, pen_width
from tests.support import REPOSITORY

TEST_IMAGES = REPOSITORY / "data/sources/mnist_sample/t10k-images-idx3-ubyte.gz"
PAPER, PEN_STROKE = 230, 40

Picture = NDArray[np.uint8]


def paper(height: int = 140, width: int = 140) -> Picture:
    return np.full((height, width), PAPER, np.uint8)


def bar(left: int = 60, top: int = 20) -> Picture:
    """A one: 100 pixels high, 14 wide."""
    picture = paper()
    picture[top : top + 100, left : left + 14] = PEN_STROKE
    return picture


def seven(pen: int) -> Picture:
    picture = paper()
    picture[20 : 20 + pen, 30:100] = PEN_STROKE
    picture[20:120, 100 - pen : 100] = PEN_STROKE
    return picture


def mnist() -> Picture:
    """(N, 28, 28) test images."""
    header = 16  # bytes
    pixels = np.frombuffer(gzip.decompress(TEST_IMAGES.read_bytes()), np.uint8, offset=header)
    return pixels.reshape(-1, SIDE, SIDE)


def only(picture: Picture) -> Picture:
    (digit,) = digits(picture)
    return digit


def test_a_bar_is_20_high_and_in_the_middle() -> None:
    digit = only(bar())
    assert digit.shape == (28, 28)
    rows, columns = (np.flatnonzero(digit.any(axis=axis)) for axis in (1, 0))
    assert rows.tolist() == list(range(4, 24))  # 4 rows above, 4 below
    assert columns.tolist() == [13, 14, 15]  # 14 of 100 are 2.8 of 20, so 3
    assert digit.max() == 255


def test_the_centre_of_mass_is_in_the_middle() -> None:
    centre = ndimage.center_of_mass(only(seven(14)))
    assert all(13.5 <= where <= 14.5 for where in centre)  # as in all of MNIST


def test_a_picture_cut_to_the_digit() -> None:
    narrow = bar()[19:121, 59:75]  # one pixel of paper on each side
    assert np.array_equal(only(narrow), only(bar()))


@pytest.mark.parametrize("left", [10, 61, 115])
def test_it_does_not_matter_where_on_the_paper_it_is(left: int) -> None:
    assert np.array_equal(only(bar(left, 27)), only(bar()))


def shadow(picture: Picture) -> Picture:
    lit = picture.astype(float)
    lit[:, 65:] *= 0.4  # half of it, and its edge goes through the stroke
    return lit.astype(np.uint8)


def ruled(picture: Picture) -> Picture:
    lines = picture.copy()
    lines[5::30] = np.minimum(lines[5::30], 170)
    return lines


def with_a_speck(picture: Picture) -> Picture:
    dirty = picture.copy()
    dirty[60:64, 20:24] = PEN_STROKE
    return dirty


def on_a_dark_table(picture: Picture) -> Picture:
    photo = picture.copy()
    photo[:, :9] = 20
    return photo


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "light on dark": lambda picture: 255 - picture,
    "underexposed": lambda picture: picture // 3,
    "half in the shadow": shadow,
    "ruled": ruled,
    "a speck": with_a_speck,
    "beside it the table": on_a_dark_table,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_light_and_paper_do_not_matter(change: Callable[[Picture], Picture]) -> None:
    before, after = (only(picture).astype(int) for picture in (seven(14), change(seven(14))))
    assert np.abs(before - after).max() < 60  # an edge a fraction of a pixel further on
    assert np.abs(before - after).mean() < 2


def test_a_line_of_one_pixel_is_kept_where_it_is_reduced() -> None:
    large = np.kron(seven(14), np.ones((3, 3), np.uint8))
    thin = paper(420, 420)
    thin[60, 90:300] = PEN_STROKE
    thin[60:360, 299] = PEN_STROKE
    assert (only(thin) > 0).sum() == pytest.approx((only(large) > 0).sum(), rel=0.3)


def test_a_thin_pen_is_thickened() -> None:
    thin, thick = (only(seven(pen)) for pen in (2, 12))  # 0.4 and 2.4 of MNIST's pixels
    assert abs(float(thin.sum()) / float(thick.sum()) - 1) < 0.1


def test_the_width_of_a_pen() -> None:
    stroke = np.zeros((200, 60), np.bool_)
    stroke[20:180, 20:40] = True  # 20 wide; a quarter of it is the median distance to the paper
    assert pen_width(stroke) == pytest.approx(20, abs=2)
    assert PEN < 3  # MNIST's pens


@pytest.mark.parametrize("level", [0, 128, 255])
def test_nothing_is_drawn(level: int) -> None:
    assert digits(np.full((50, 70), level, np.uint8)) == []


def test_noise_is_nothing() -> None:
    noise = np.random.default_rng(0).integers(200, 200 + BLANK // 2, (60, 60))
    assert digits(noise.astype(np.uint8)) == []


def test_noise_of_high_contrast_is_no_digit() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 300))
    assert digits(noise.astype(np.uint8)) == []


def test_two_digits_from_left_to_right_and_row_by_row() -> None:
    row = np.concatenate([seven(10), bar()], axis=1)
    page = np.concatenate([row, 255 - (255 - row)[:, ::-1]], axis=0)
    found = digits(page)
    assert len(found) == 4
    assert np.array_equal(found[1], only(bar()))  # not the seven, which is wider
    assert (found[0] > 0).any(axis=0).sum() > (found[1] > 0).any(axis=0).sum()
    assert len(digits(row)) == 2


def test_the_bar_of_a_five_and_dashes_are_part_of_the_digit() -> None:
    five = paper()
    five[20:28, 75:110] = PEN_STROKE  # the bar, 5 pixels from the rest
    five[33:110, 55:70] = PEN_STROKE
    five[95:110, 55:100] = PEN_STROKE
    assert len(digits(five)) == 1
    dashes = paper()
    for top in range(20, 120, 24):
        dashes[top : top + 14, 60:70] = PEN_STROKE
    assert len(digits(dashes)) == 1


def test_mnist_is_left_as_it_is() -> None:
    for image in mnist():
        assert only(image) is image


def test_dark_on_light_of_mnists_size_is_not_in_its_form() -> None:
    image = mnist()[0]
    assert not in_form(255 - image, (SIDE, SIDE))
    assert not in_form(np.roll(image, 3, axis=0), (SIDE, SIDE))
    assert not in_form(image[:, :27], (SIDE, SIDE))
    assert not in_form(np.zeros((SIDE, SIDE), np.uint8), (SIDE, SIDE))


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_any_picture_has_digits_or_none(picture: Picture) -> None:
    for digit in digits(picture):
        assert digit.shape == (28, 28)
        assert digit.dtype == np.uint8
        assert max(np.ptp(np.nonzero(digit), axis=1)) < 20


@pytest.mark.parametrize("shape", [(32, 32), (48, 64), (8, 8)])
def test_other_sizes(shape: tuple[int, int]) -> None:
    (digit,) = digits(bar(), shape)
    assert digit.shape == shape
    assert np.ptp(np.flatnonzero(digit.any(axis=1))) + 1 == shape[0] * 20 // 28

"""Single pictures, of 2x2 pixels where a format keeps them exactly."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.data import handwriting
from pipeline.data.prepare import (
    DRAFT,
    PictureError,
    Preparation,
    in_colour,
    prepare,
    read_picture,
    without_warnings,
)
from tests.data.support import encoded, png

GREY = Image.fromarray(np.array([[10, 20], [30, 40]], np.uint8))
RED = (200, 0, 0)
COLOUR = Image.fromarray(np.array([[RED, (0, 0, 9)], [(1, 2, 3), (255, 255, 255)]], np.uint8))


def image(mode: str, pixels: Any) -> Image.Image:  # noqa: ANN401, rows of pixels
    """A picture of any mode from its pixels, row by row."""
    made = Image.new(mode, (len(pixels[0]), len(pixels)))
    made.putdata([pixel for row in pixels for pixel in row])
    return made


def pixels(content: bytes) -> Any:  # noqa: ANN401, nested lists
    with without_warnings():
        return np.asarray(read_picture(content)).tolist()


LOSSLESS = {"PNG": {}, "BMP": {}, "TIFF": {}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_grey_and_colour(kind: str) -> None:
    assert pixels(encoded(COLOUR, kind, **LOSSLESS[kind])) == np.asarray(COLOUR).tolist()
    grey = np.asarray(pixels(encoded(GREY, kind, **LOSSLESS[kind])))
    assert (grey if grey.ndim == 2 else grey[..., 1]).tolist() == [[10, 20], [30, 40]]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(mode: str) -> None:
    content = encoded(Image.new("RGB", (16, 16), (90, 90, 90)).convert(mode), "JPEG", quality=95)
    np.testing.assert_allclose(pixels(content), 90, atol=2)


def test_the_first_frame_of_a_gif() -> None:
    content = encoded(GREY, "GIF", save_all=True, append_images=[image("L", [[0, 0], [0, 0]])])
    assert np.asarray(pixels(content)).reshape(2, 2, -1)[..., 0].tolist() == [[10, 20], [30, 40]]


def test_the_first_page_of_a_tiff() -> None:
    content = encoded(GREY, "TIFF", save_all=True, append_images=[COLOUR])
    assert pixels(content) == [[10, 20], [30, 40]]


WHITE = [255, 255, 255]
MODES: dict[str, tuple[Image.Image, list[Any]]] = {
    "16 bits": (image("I;16", [[0x0A63, 0xFFFF]]), [[0x0A, 255]]),
    "1 bit": (image("1", [[0, 255]]), [[0, 255]]),
    "on white, colour": (
        # A fifth of 100 and four fifths of 255 are 224.
        image("RGBA", [[(100, 0, 50, 255), (100, 0, 50, 0), (100, 255, 0, 51)]]),
        [[[100, 0, 50], WHITE, [224, 255, 204]]],
    ),
    "on white, grey": (image("LA", [[(100, 255), (100, 0), (100, 51)]]), [[100, 255, 224]]),
}


@pytest.mark.parametrize("case", MODES)
def test_modes(case: str) -> None:
    picture, expected = MODES[case]
    found = np.asarray(pixels(png(picture)))
    assert (found[..., 0] if found.ndim > np.ndim(expected) else found).tolist() == expected


def test_palettes() -> None:
    picture = image("P", [[0, 1], [2, 0]])
    picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    assert pixels(png(picture)) == [[[200, 0, 0], [0, 200, 0]], [[0, 0, 200], [200, 0, 0]]]
    content = png(picture, transparency=1)
    assert pixels(content) == [[[200, 0, 0], WHITE], [[0, 0, 200], [200, 0, 0]]]


def test_a_transparent_grey_value() -> None:
    found = np.asarray(pixels(png(GREY, transparency=30)))
    assert found[..., 0].tolist() == [[10, 20], [255, 40]]


def test_cmyk_in_a_tiff() -> None:
    inks = image("CMYK", [[(0, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255)]])
    assert pixels(encoded(inks, "TIFF")) == [[WHITE, [255, 0, 0], [0, 0, 0]]]


UPRIGHT = {  # what [[1, 2], [3, 4]] looks like with each orientation, as Exif 2.32 defines them
    1: [[1, 2], [3, 4]],
    2: [[2, 1], [4, 3]],
    3: [[4, 3], [2, 1]],
    4: [[3, 4], [1, 2]],
    5: [[1, 3], [2, 4]],
    6: [[3, 1], [4, 2]],
    7: [[4, 2], [3, 1]],
    8: [[2, 4], [1, 3]],
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_orientation(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    quarters = np.kron([[1, 2], [3, 4]], np.full((16, 16), 50)).astype(np.uint8)
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(Image.fromarray(quarters), kind, exif=exif, **options)
    found = np.asarray(pixels(content))[8::16, 8::16].reshape(2, 2, -1)[..., 0]
    np.testing.assert_allclose(found / 50, UPRIGHT[orientation], atol=0.05)


REFUSED = {
    "nothing": (b"", "is empty"),
    "text": (b"hello", "is none of PNG, JPEG, WEBP, BMP, GIF, TIFF, or is damaged"),
    "PDF": (b"%PDF-1.7", "is none of"),
    "PPM, which is not read": (encoded(GREY, "PPM"), "is none of"),
    "cut off": (encoded(Image.new("L", (99, 99)), "JPEG")[:-50], "is damaged (image file is trunc"),
    "fractions": (
        encoded(Image.new("F", (2, 2)), "TIFF"),
        "has pixels of 32 bits, expected 8 or 16",
    ),
    "whole numbers of 32 bits": (
        encoded(Image.new("I", (2, 2), 255), "TIFF"),
        "has pixels of 32 bits, expected 8 or 16",
    ),
    "wide": (encoded(Image.new("1", (20_001, 1)), "PNG"), "has 1 rows and 20,001 columns"),
    "large": (encoded(Image.new("1", (12_000, 9000)), "PNG"), "and at most 100,000,000 pixels"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    content, message = REFUSED[case]
    with pytest.raises(PictureError) as error, without_warnings():
        read_picture(content)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


SEEDS = [encoded(COLOUR.resize((9, 9)), kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF")]
SEEDS += [encoded(COLOUR, "TIFF"), encoded(COLOUR, "TIFF", compression="tiff_lzw")]


@given(st.sampled_from(["", *SEEDS]), st.integers(0, 200), st.binary(max_size=12))
def test_any_bytes_are_a_picture_or_refused(seed: bytes | str, start: int, other: bytes) -> None:
    content = seed or b""
    assert isinstance(content, bytes)
    with contextlib.suppress(PictureError), without_warnings():
        found = read_picture(content[:start] + other + content[start + len(other) :])
        assert found.mode in ("L", "RGB")


@pytest.mark.parametrize(("side", "decoded"), [(2000, 2000), (100, 250), (300, 1000)])
def test_a_large_jpeg_is_decoded_at_a_fraction(side: int, decoded: int) -> None:
    content = encoded(Image.new("L", (2000, 2000)), "JPEG")
    found = read_picture(content, Preparation(side, side, 1)).size
    assert found == (decoded, decoded)
    assert decoded == 2000 or decoded >= DRAFT * side
    written = read_picture(content, Preparation(28, 28, 1, "mnist")).size
    assert min(written) >= DRAFT * handwriting.LARGEST  # or strokes would be lost


WRITTEN = Preparation(28, 28, 1, "mnist")


def drawing(ink: tuple[int, ...], paper: tuple[int, ...], count: int = 1) -> Image.Image:
    """Bars beside each other, 60 pixels high."""
    picture = Image.new("RGBA" if len(ink) > 3 else "RGB", (80 * count, 80), paper)
    for number in range(count):
        picture.paste(ink, (80 * number + 36, 10, 80 * number + 44, 70))
    return picture


@pytest.mark.parametrize(
    "picture",
    [
        drawing((0, 0, 0), (255, 255, 255)),
        drawing((255, 255, 255), (0, 0, 0)),
        drawing((0, 0, 90), (250, 245, 235)),
        drawing((0, 0, 0, 255), (0, 0, 0, 0)),
        drawing((255, 255, 255, 255), (255, 255, 255, 0)),
    ],
)
def test_handwriting_of_any_colour_and_on_nothing(picture: Image.Image) -> None:
    found = prepare(read_picture(encoded(picture, "PNG"), WRITTEN), WRITTEN)
    rows, columns = (np.flatnonzero(found.any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (4, 23)
    assert columns.tolist() == [12, 13, 14] or columns.tolist() == [13, 14, 15]


def test_a_photo_of_handwriting_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    photo = encoded(drawing((0, 0, 0), (255, 255, 255)).rotate(90), "JPEG", exif=exif)
    found = prepare(read_picture(photo, WRITTEN), WRITTEN)
    assert found.any(axis=1).sum() == 20


def test_handwriting_in_colour_has_three_equal_channels() -> None:
    how = Preparation(28, 28, 3, "mnist")
    found = prepare(drawing((0, 0, 0), (255, 255, 255)), how)
    assert found.shape == (28, 28, 3)
    assert not in_colour(Image.fromarray(found))


@pytest.mark.parametrize(("count", "what"), [(0, "no digit"), (2, "2 digits"), (4, "4 digits")])
def test_one_digit_is_expected(count: int, what: str) -> None:
    picture = drawing((0, 0, 0), (255, 255, 255), count) if count else Image.new("L", (90, 90))
    with pytest.raises(PictureError) as error:
        prepare(picture, WRITTEN)
    assert str(error.value) == f"shows {what}, expected one"


def test_colour_by_what_a_picture_shows() -> None:
    assert not in_colour(GREY)
    assert not in_colour(GREY.convert("RGB"))
    assert in_colour(image("RGB", [[(7, 7, 7), (7, 7, 8)]]))


WIDE = image("L", [[0, 0, 100, 100], [0, 0, 100, 200]])  # the median of its border is 50


@pytest.mark.parametrize(
    ("fit", "size", "expected"),
    [
        ("pad", (4, 4), [[50] * 4, [0, 0, 100, 100], [0, 0, 100, 200], [50] * 4]),
        ("crop", (2, 2), [[0, 100], [0, 100]]),
        ("stretch", (2, 4), [[0, 0, 100, 100], [0, 0, 100, 200]]),
    ],
)
def test_fit(fit: Any, size: tuple[int, int], expected: list[list[int]]) -> None:  # noqa: ANN401
    assert prepare(WIDE, Preparation(*size, 1, fit)).tolist() == expected


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (2, 64)])
def test_shapes(fit: Any, channels: Any, size: tuple[int, int]) -> None:  # noqa: ANN401
    how = Preparation(*size, channels, fit)
    for picture in (WIDE, COLOUR, Image.new("L", (1, 300))):
        assert prepare(picture, how).shape == how.shape == (*size, *[3] * (channels == 3))


def test_channels() -> None:
    assert prepare(GREY, Preparation(2, 2, 3)).tolist() == [
        [[10] * 3, [20] * 3],
        [[30] * 3, [40] * 3],
    ]
    # Of the luma, ITU-R BT.601 gives red 29.9 %.
    assert prepare(image("RGB", [[RED, RED]]), Preparation(1, 2, 1)).tolist() == [[60, 60]]


def test_stretching_keeps_flat_areas() -> None:
    flat = np.kron([[0, 200], [100, 50]], np.ones((40, 40))).astype(np.uint8)
    found = prepare(Image.fromarray(flat), Preparation(8, 8, 1, "stretch"))
    assert found[::7, ::7].tolist() == [[0, 200], [100, 50]]

"""One picture to an array of the size and the channels that the network takes.

Training and prediction prepare pictures by the same function. Pillow decodes them, and resizes in
whole numbers, so that every machine makes the same pixels.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile

from pipeline.data import handwriting
from pipeline.data.handwriting import LARGEST

PNG = b"\x89PNG\r\n\x1a\n"
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
LONGEST = 20_000  # pixels of a side; what is longer is refused before it is decoded
MOST = 100_000_000  # pixels
WITH_DRAFT = ("JPEG", "MPO")
WITH_ORIENTATION = ("JPEG", "MPO", "TIFF", "WEBP")  # formats that cameras write
SEVERAL = "digits, expected one"  # the end of what is said of a picture of several
DRAFT = 2  # a JPEG is decoded at no less than so many times the size it is then reduced to

Recipe = Literal["pad", "crop", "stretch", "mnist"]


class PictureError(Exception):
    """A picture cannot be read; the message says why."""


@dataclass(frozen=True)
class Preparation:
    """What every image becomes."""

    height: int
    width: int
    channels: Literal[1, 3]
    recipe: Recipe = "pad"  # how an image of another shape gets into this one; see handwriting.py

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an image: (height, width) in grey, (height, width, 3) in colour."""
        size = (self.height, self.width)
        return size if self.channels == 1 else (*size, 3)


def read_picture(content: bytes, how: Preparation | None = None) -> Image.Image:
    """A picture as it looks, upright and on white, in grey (mode L) or colour (RGB).

    Args:
        content: of a file in one of the FORMATS. Of an animation it is the first frame.
        how: it is going to be prepared, if that is known. A large JPEG is then decoded at a
            fraction of its size; and light handwriting that is transparent elsewhere is on black.

    Raises:
        PictureError: it cannot be read.
    """
    if not content:
        raise PictureError("is empty")
    try:
        image = _open(content)
        _check_size(image)
        if how and image.format in WITH_DRAFT:
            largest = DRAFT * (LARGEST if how.recipe == "mnist" else max(how.height, how.width))
            image.draft(None, (largest, largest))
        image.load()
        return _upright_and_plain(image, light_ink=how is not None and how.recipe == "mnist")
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"is none of {', '.join(FORMATS)}, or is damaged") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"has too many pixels, expected at most {MOST:,}") from error
    except Exception as error:  # whatever the decoders raise for bytes that make no sense
        raise PictureError(f"is damaged ({' '.join(str(error).split())})") from error


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silences Pillow in the block: it warns of odd metadata, and of pictures that we refuse."""
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _open(content: bytes) -> Image.Image:
    """A picture whose header has been read; to know PNG by its first bytes saves some time."""
    if content.startswith(PNG):
        return PngImageFile(BytesIO(content))
    return Image.open(BytesIO(content), formats=FORMATS)


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if not (0 < width <= LONGEST and 0 < height <= LONGEST and width * height <= MOST):
        raise PictureError(
            f"has {height:,} rows and {width:,} columns, expected 1 to {LONGEST:,} of each and at "
            f"most {MOST:,} pixels"
        )


def _upright_and_plain(image: Image.Image, *, light_ink: bool) -> Image.Image:
    if image.format in WITH_ORIENTATION or "exif" in image.info:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise PictureError("has pixels of 32 bits, expected 8 or 16")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = "black" if light_ink and _is_light(image) else "white"
        image = Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _is_light(image: Image.Image) -> bool:
    """Whether most of what is opaque in `image`, of mode RGBA, is light."""
    grey, alpha = (np.asarray(of) for of in (image.convert("L"), image.getchannel("A")))
    opaque = grey[alpha > 127]  # noqa: PLR2004, half
    return bool(len(opaque) and np.median(opaque) > 127)  # noqa: PLR2004, likewise


def in_colour(image: Image.Image) -> bool:
    """Whether any pixel is not grey."""
    if image.mode == "L":
        return False
    pixels = np.asarray(image)
    return bool((pixels[..., :1] != pixels[..., 1:]).any())


def prepare(image: Image.Image, how: Preparation) -> NDArray[np.uint8]:
    """The pixels of an image, (height, width) or (height, width, 3), as `how` says.

    Raises:
        PictureError: it should show one digit, and does not.
    """
    if how.recipe == "mnist":
        found = digits(image, how)
        if len(found) != 1:
            what = f"{len(found)} {SEVERAL}" if found else "no digit, expected one"
            raise PictureError(f"shows {what}")
        return found[0]
    mode = "L" if how.channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    size = (how.width, how.height)
    if image.size == size:
        pass
    elif how.recipe == "stretch":
        image = image.resize(size, Image.Resampling.LANCZOS)
    elif how.recipe == "crop":
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    else:
        image = ImageOps.pad(image, size, Image.Resampling.LANCZOS, color=_border(image))
    return np.frombuffer(image.tobytes(), np.uint8).reshape(how.shape)


def digits(image: Image.Image, how: Preparation) -> list[NDArray[np.uint8]]:
    """The digits in a picture in MNIST's form, each (height, width) or (height, width, 3)."""
    picture = image.convert("L")
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    found = handwriting.digits(np.asarray(picture), (how.height, how.width))
    if how.channels == 1:
        return found
    return [np.repeat(digit[..., None], 3, axis=-1) for digit in found]


def _border(image: Image.Image) -> int | tuple[int, ...]:
    """The median colour of the outermost pixels, with which an image is padded."""
    pixels = np.asarray(image)
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    median = np.median(np.concatenate(edges), axis=0).astype(int)
    return int(median) if median.ndim == 0 else tuple(median.tolist())

"""MNIST's form of a handwritten digit, made from a photo or a drawing of one.

In MNIST a digit is light on black, its longer side is 20 of the 28 pixels, and its centre of mass
is in the middle (LeCun, Bottou, Bengio and Haffner, Proc. IEEE 86, 1998). A network that has seen
nothing else takes a photographed 7 for a 5.

Every step is exact: whole numbers, or IEEE operations in a fixed order. So JavaScript can make the
same pixels, see `pipeline/web/handwriting.js`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

SIDE = 28  # pixels of an image of MNIST
LARGEST = 512  # rows and columns of a picture; larger ones are to be reduced first

BOX = 20  # of them: the longer side of a digit
FINE = 8  # times that resolution: where strokes are thickened
PEN = 2.4  # pixels of the 28 to which thinner strokes are thickened; the median in MNIST is 2.25
WINDOW = 10  # strokes are narrower than twice this part of the picture's longer side
COARSE = 32  # rows and columns of the picture in which paper is told from ink
BLANK = 25  # of 255: paper that varies by less has nothing on it
DARKEST = 98  # percentile of the darkness of what may be ink: that of the ink itself
FAINT = 0.4  # of the ink's darkness: what is fainter is a ruled line or the rest of a shadow
SPECK = 20  # times smaller than the largest component: what is left out
EDGE = 10  # the same for components that do not touch the edge, if others that do are left out
DIGIT = 0.6  # of the largest part's longer side: where another part is a digit, too
DASH = 3.5  # times the width of the pen: where a part is no digit, but a piece of one

Mask = NDArray[np.bool_]  # (height, width), where ink is
Whole = NDArray[np.float64]  # (height, width) of whole numbers, 0 to 255


def digits(
    picture: NDArray[np.uint8], shape: tuple[int, int] = (SIDE, SIDE)
) -> list[NDArray[np.uint8]]:
    """The digits in a picture in MNIST's form, in the order in which they are read.

    A picture that is in this form already is returned as it is.

    Args:
        picture: (height, width) in grey, dark on light or light on dark, at most LARGEST of each.
        shape: (height, width) of the results.
    """
    if in_form(picture, shape):
        return [picture]
    ink = darkness(dark_on_light(picture.astype(np.float64)))
    level = ink_level(ink)
    if level is None:
        return []
    found = parts(without_specks(ink > level))
    strokes = [_strokes(ink, part, level, _box(shape)) for part in found]
    return [_normalized(one, shape) for one in strokes if not _is_blot(one)]


def in_form(picture: NDArray[np.uint8], shape: tuple[int, int]) -> bool:
    """Whether a picture is as MNIST's are: of `shape`, light on black, scaled and centred."""
    if picture.shape != shape:
        return False
    edges = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    strokes = picture >= 16  # noqa: PLR2004, what a JPEG adds to black is darker
    if edges.mean() >= 16 or not strokes.any():  # noqa: PLR2004, likewise
        return False
    box = _box(shape)
    return 0.9 * box <= max(_crop(strokes).shape) <= box and all(
        abs(_off_centre(picture.sum(axis=1 - axis), shape[axis])) <= 1 for axis in (0, 1)
    )


def dark_on_light(picture: Whole) -> Whole:
    """The picture, inverted if its strokes are light.

    Strokes are what differs from the median around them; where they are dark, the sum of the cubed
    differences is negative. Unlike the median of the border, which is what is mostly used, this
    works where a shadow covers half of the paper.
    """
    coarse = _scaled(picture, min(COARSE, max(picture.shape)))
    around = ndimage.median_filter(coarse, max(coarse.shape) // 2 | 1, mode="nearest")
    difference = coarse - around
    return 255 - picture if (difference * difference * difference).sum() > 0 else picture


def darkness(picture: Whole) -> Whole:
    """How much darker each pixel is than the paper there would be, in parts of 255 of the paper.

    The paper's brightness is the picture's morphological closing: it follows light and shadow,
    but not the strokes, which are narrower than its window.
    """
    side = 2 * max(1, max(picture.shape) // WINDOW) + 1
    paper = ndimage.grey_closing(picture, (side, side), mode="nearest")
    parts_of_255: Whole = np.floor((paper - picture) * 255 / np.maximum(paper, 1))
    return parts_of_255


def ink_level(ink: Whole) -> int | None:
    """The darkness above which a pixel is ink; None if nothing is drawn.

    It is Otsu's threshold (IEEE Trans. Systems, Man, and Cybernetics 9, 1979), which divides the
    pixels into two classes that differ the most, but at least FAINT of the ink's own darkness.
    """
    level = _otsu(ink)
    above = np.sort(ink[ink > level])
    if not len(above) or (darkest := above[len(above) * DARKEST // 100]) < BLANK:
        return None
    return max(level, int(darkest * FAINT))


def _otsu(ink: Whole) -> int:
    counts = np.bincount(ink.astype(np.int64).ravel(), minlength=256)
    below, weight = np.cumsum(counts), np.cumsum(counts * np.arange(256))
    total, all_weight = int(below[-1]), int(weight[-1])
    between = np.zeros(256)
    divides = (below > 0) & (below < total)
    difference = (all_weight * below - total * weight)[divides].astype(np.float64)
    between[divides] = difference * difference / (below * (total - below))[divides]
    best = np.flatnonzero(between == between.max())
    return int(best[0] + best[-1]) // 2


def without_specks(ink: Mask) -> Mask:
    """Without small components, and without those at the edge, such as a table's, if others remain.

    Pixels are connected that touch, also at a corner.
    """
    components, count = ndimage.label(ink, np.ones((3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0  # the paper
    edges = (components[0], components[-1], components[:, 0], components[:, -1])
    inside = sizes.copy()
    inside[np.unique(np.concatenate(edges))] = 0
    if EDGE * inside.max() >= sizes.max():
        sizes = inside
    kept: Mask = (SPECK * sizes >= max(1, sizes.max()))[components]
    return kept


def parts(ink: Mask) -> list[Mask]:
    """The ink of each digit, where gaps of rows or columns divide them; else all of it.

    (The X-Y cut: Nagy and Seth, Proc. 7th ICPR, 1984.) Pieces of one digit, such as the bar of a 5
    or dashes, are too small to be digits, so they do not count.
    """
    found = [part for row in _cut(ink, 0) for part in _cut(row, 1)]
    if len(found) == 1:
        return [ink]
    sides = [max(_crop(part).shape) for part in found]
    least = max(DIGIT * max(sides), DASH * pen_width(ink))
    large = [part for part, side in zip(found, sides, strict=True) if side >= least]
    return large if len(large) > 1 else [ink]


def _cut(ink: Mask, axis: int) -> Iterator[Mask]:
    """The pieces of `ink` between empty rows (axis 0) or columns (axis 1)."""
    runs, count = ndimage.label(ink.any(axis=1 - axis))
    for run in range(1, count + 1):
        within = runs == run
        yield ink & (within[:, None] if axis == 0 else within[None, :])


def pen_width(ink: Mask) -> float:
    """The width of the strokes in pixels: four times their median distance to the paper."""
    around = np.pad(_crop(ink), 1)  # there is no nearer paper beyond
    squares = np.sort(_squared_distances(~around)[around])
    return float(4 * (np.sqrt(squares[len(squares) // 2]) - 0.5))


def _squared_distances(targets: Mask) -> NDArray[np.float64]:
    """From each pixel to the nearest one in `targets`, whole numbers."""
    squares: NDArray[np.float64] = np.rint(ndimage.distance_transform_edt(~targets) ** 2)
    return squares


def _strokes(ink: Whole, part: Mask, level: int, box: int) -> Mask:
    """One digit at FINE times the resolution of the result, thickened if it is thin."""
    near = ndimage.binary_dilation(part)  # the strokes with their soft edges
    rows, columns = _range(near, 1), _range(near, 0)
    fine = _scaled((near * ink)[rows, columns], FINE * box)
    level = min(level, int(fine.max()) // 2)  # a line of one pixel gets lighter where it is reduced
    return _thickened(_crop(fine > level), box)


def _is_blot(strokes: Mask) -> bool:
    """Whether ink fills a square or so, as noise does. Of MNIST's digits 84% are filled at most."""
    longer, shorter = max(strokes.shape), min(strokes.shape)
    return bool(10 * strokes.sum() > 9 * strokes.size and 2 * shorter > longer)


def _normalized(strokes: Mask, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The digit, scaled and centred."""
    digit = _scaled(strokes.astype(np.float64) * 255, _box(shape))
    image = np.zeros(shape, np.uint8)
    places = tuple(
        slice(start, start + size)
        for start, size in (_centred(digit.sum(axis=1 - axis), shape[axis]) for axis in (0, 1))
    )
    image[places] = digit
    return image


def _thickened(strokes: Mask, box: int) -> Mask:
    """Strokes at least PEN wide, once their longer side is reduced to `box`."""
    missing = PEN * max(strokes.shape) / box - pen_width(strokes)
    if missing <= 0:
        return strokes
    padded = np.pad(strokes, int(np.ceil(missing / 2)))
    return _crop(_squared_distances(padded) <= missing * missing / 4)


def _centred(mass: NDArray[np.float64], length: int) -> tuple[int, int]:
    """Where a digit begins along an axis, and its size: its centre of mass is in the middle.

    Args:
        mass: (size,) of its rows or columns.
        length: of the image.
    """
    start = int(np.ceil(-_off_centre(mass, length)))
    return min(max(start, 0), length - len(mass)), len(mass)


def _off_centre(mass: NDArray[np.number], length: int) -> float:
    """How far the centre of mass is beyond the middle of an axis of `length` pixels."""
    total, moment = int(mass.sum()), int(mass @ np.arange(len(mass)))
    return (2 * moment - (length - 1) * total) / (2 * total)


def _box(shape: tuple[int, int]) -> int:
    """The longer side of a digit in an image of `shape`."""
    return BOX * min(shape) // SIDE


def _scaled(picture: Whole, side: int) -> Whole:
    """The picture with a longer side of `side`: means over areas, or linear if it is enlarged."""
    longest = max(picture.shape)
    height, width = (max(1, (2 * size * side + longest) // (2 * longest)) for size in picture.shape)
    rows, columns = _weights(picture.shape[0], height), _weights(picture.shape[1], width)
    total = rows[[0]].sum() * columns[[0]].sum()
    scaled: Whole = np.floor((columns @ (rows @ picture).T).T / total + 0.5)
    return scaled


def _weights(source: int, target: int) -> sparse.csr_array:
    """(target, source) whole numbers, with the same sum in each row, that resize an axis."""
    if target <= source:  # how much of the source pixel is in the target pixel
        first, last = np.arange(target)[:, None], np.arange(source)
        overlap = np.minimum((first + 1) * source, (last + 1) * target) - np.maximum(
            first * source, last * target
        )
        return sparse.csr_array(np.maximum(overlap, 0).astype(np.float64))
    unit = 2 * target
    centre = np.clip((2 * np.arange(target) + 1) * source - target, 0, unit * (source - 1))
    lower, part = np.divmod(centre, unit)
    upper = np.minimum(lower + 1, source - 1)
    rows = np.tile(np.arange(target), 2)
    values = np.concatenate([unit - part, part]).astype(np.float64)
    return sparse.csr_array(
        (values, (rows, np.concatenate([lower, upper]))), shape=(target, source)
    )


def _crop(ink: Mask) -> Mask:
    """The smallest part with all of the ink."""
    return ink[_range(ink, 1), _range(ink, 0)]


def _range(ink: Mask, axis: int) -> slice:
    """From the first to the last row (axis 1) or column (axis 0) with ink."""
    where = np.flatnonzero(ink.any(axis=axis))
    return slice(int(where[0]), int(where[-1]) + 1)

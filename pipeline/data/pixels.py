"""The pixels of all images of a dataset, decoded in bounded memory."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import machine, tasks
from pipeline.data.decode import CLUSTER, Decoded, Task, decode_all
from pipeline.data.parts import ArrayChunk, Chunk, Pictures
from pipeline.data.prepare import (
    PictureError,
    Preparation,
    Recipe,
    in_colour,
    read_picture,
    without_warnings,
)
from pipeline.data.sources import Labelled
from pipeline.errors import InputError, IntegrityError

BITS = {"train": 1, "validation": 2, "test": 4}  # an image may be in the last two
PIXELS, DIGESTS = "pixels", "digests"  # names of files
CHUNK = 1 << 20  # bytes
LEVELS = 256  # of a pixel
ALONE = 500  # images up to which other processes would take longer to start than to help
SAMPLE = 16  # pictures that tell whether to begin in colour
SHOWN = 20  # broken pictures that are named
SIZES = 4  # sizes of images that are named


@dataclass(frozen=True)
class Pixels:
    """The images that could be read, one after the other."""

    pieces: Callable[[], Iterator[NDArray[np.uint8]]]  # all of them, (M, *shape) at a time
    shape: tuple[int, ...]  # of an image: (height, width), or (height, width, 3) in colour
    unread: NDArray[np.intp]  # which of all images could not be read, in ascending order
    digests: Path  # a file of those of all N images, see `digests`; 0 for one that is unread
    broken: list[str]  # a line for each of the first ones that could not be read
    task: Task  # how they are decoded
    spread: bool  # whether that is done on a cluster

    def tell_broken(self, stream: TextIO) -> None:
        """Says which pictures could not be read, if any."""
        count = len(self.unread)
        if count:
            what = "1 picture" if count == 1 else f"{count:,} pictures"
            lines = _and_more(self.broken, count)
            print(f"left out {what}:", *lines, sep="\n  ", file=stream)

    def divided(self, splits: NDArray[np.uint8]) -> Iterator[dict[str, NDArray[np.uint8]]]:
        """The images piece by piece, those of each piece divided among the splits.

        Args:
            splits: (N,) for each of all images the sum of the BITS of those that it is in.

        Yields:
            The next images of each.
        """
        start = 0
        readable = np.delete(splits, self.unread) if len(self.unread) else splits
        for piece in self.pieces():
            own = readable[start : start + len(piece)]
            yield {name: piece[own & bit > 0] for name, bit in BITS.items()}
            start += len(piece)


@dataclass(frozen=True)
class _First:
    """What the first images of a dataset are like."""

    size: tuple[int, int]  # height and width
    colour: bool
    decoded: bool  # whether they are pixels already


@dataclass
class _Found:
    """What was found in all images."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # height and width
    broken: list[str] = field(default_factory=list)  # a line for each of the first ones


class _ColourFoundError(Exception):
    """An image in colour, where grey was expected."""


def decode_into(
    folder: Path,
    labelled: Labelled,
    *,
    keep: bool = True,
    size: Literal["common"] | int | Sequence[int],
    channels: Literal["auto", 1, 3],
    recipe: Recipe,
    broken: Literal["refuse", "skip"],
) -> Pixels:
    """Decodes all images into a new file, or twice: to look at them all, and when they are needed.

    Args:
        folder: for new files: PIXELS, and the images' DIGESTS.
        labelled: the images.
        keep: whether to write PIXELS, or to take time instead of room for the pixels of all images.
            They are not written either where the data are such pixels: those are read again, and
            whoever calls this checks that they have not changed.
        size: their height and width, or common: what all have.
        channels: 1 for grey, 3 for colour, or auto: colour if any image is in colour.
        recipe: how images of another shape get into this size.
        broken: what to do about pictures that cannot be read.

    Raises:
        InputError: an image cannot be read, or they have several sizes and none is asked for.
        IntegrityError: the data have changed.
    """
    first = _first(labelled)
    height, width = (
        first.size if size == "common" else (size, size) if isinstance(size, int) else size
    )
    guessed: Literal[1, 3] = 3 if first.colour else 1
    task = Task(
        Preparation(height, width, guessed if channels == "auto" else channels, recipe),
        resize=size != "common",
        refuse_colour=channels == "auto" and not first.colour,
    )
    ready = first.decoded and first.size == (height, width)
    alone = labelled.total <= ALONE or ready
    processes = 1 if alone else CLUSTER if tasks.address() else machine.cores()
    how = {"keep": keep, "twice": not keep or (ready and labelled.as_pixels)}
    try:
        pixels, found = _decode_into(folder, labelled, task, processes, **how)
    except _ColourFoundError:
        task = replace(task, preparation=replace(task.preparation, channels=3), refuse_colour=False)
        pixels, found = _decode_into(folder, labelled, task, processes, **how)
    if found.broken and broken == "refuse":
        _refuse_broken(pixels)
    if not task.resize:
        _check_sizes(found.sizes, labelled)
    return pixels


def _decode_into(
    folder: Path, labelled: Labelled, task: Task, processes: int, *, keep: bool, twice: bool
) -> tuple[Pixels, _Found]:
    path, digests = None if twice else folder / PIXELS, folder / DIGESTS
    found = _Found()
    unread = [np.empty(0, np.intp)]
    start = 0
    first = replace(task, keep=not twice)
    with path.open("wb") if path else nullcontext() as file, digests.open("wb") as column:
        for decoded in decode_all(labelled.chunks(), first, labelled.total, processes):
            if decoded.colour:
                raise _ColourFoundError
            if not decoded.healthy.all():
                unread.append(start + np.flatnonzero(~decoded.healthy))
            column.write(_of_all(decoded).data)
            if file:
                file.write(np.ascontiguousarray(decoded.pixels).data)
            found.sizes += decoded.sizes
            found.broken = (found.broken + decoded.broken)[:SHOWN]
            start += len(decoded.healthy)
    shape = task.preparation.shape
    if path:
        pieces = partial(_from_file, path, shape)
    else:
        again = replace(task, digest=not keep)
        pieces = partial(_decoded_again, labelled, again, processes, digests)
    spread = processes == CLUSTER
    where = np.concatenate(unread)
    return Pixels(pieces, shape, where, digests, found.broken, task, spread), found


def _of_all(decoded: Decoded) -> NDArray[np.uint64]:
    """The digests of all images of a chunk, 0 for those that could not be read."""
    digests = np.zeros(len(decoded.healthy), np.uint64)
    digests[decoded.healthy] = decoded.digests
    return digests


def _from_file(path: Path, shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    size = math.prod(shape)
    count = max(1, CHUNK // size)
    with path.open("rb") as file:
        while len(content := np.fromfile(file, np.uint8, count * size)):
            yield content.reshape(-1, *shape)


def _decoded_again(
    labelled: Labelled, task: Task, processes: int, digests: Path
) -> Iterator[NDArray[np.uint8]]:
    """The images that could be read; if `task` finds their `digests`, they must be as before."""
    with digests.open("rb") as column:
        for decoded in decode_all(labelled.chunks(), task, labelled.total, processes):
            if task.digest:
                before = np.fromfile(column, np.uint64, len(decoded.healthy))
                check_unchanged(labelled, _of_all(decoded), before)
            yield decoded.pixels


def check_unchanged(
    labelled: Labelled, found: NDArray[np.uint64], expected: NDArray[np.uint64]
) -> None:
    """Checks that images are what they were when they were looked at first.

    Args:
        labelled: all images.
        found: (M,) digests of some, now.
        expected: (M,) what they were.

    Raises:
        IntegrityError: one is not.
    """
    if not np.array_equal(found, expected):
        raise IntegrityError(
            f"{labelled.parts[0].source}: images have changed while they were read; run dvc "
            f"repro when nothing writes there any more"
        )


def _refuse_broken(pixels: Pixels) -> None:
    broken, count = pixels.broken, len(pixels.unread)
    what = "preprocess.broken: skip leaves out what cannot be read"
    if count == 1:
        raise InputError(f"{broken[0]}; replace it, or {what}")
    told = f"{count:,} pictures cannot be read; replace them, or {what}:"
    raise InputError("\n  ".join([told, *_and_more(broken, count)]))


def _and_more(broken: list[str], count: int) -> list[str]:
    """A line for each broken picture, and one for those of `count` that have none."""
    return [*broken, *([f"and {count - len(broken):,} more"] if count > len(broken) else [])]


def _check_sizes(sizes: Counter[tuple[int, int]], labelled: Labelled) -> None:
    if len(sizes) <= 1:
        return
    most = sizes.most_common()
    shown = ", ".join(f"{height}x{width} ({count:,})" for (height, width), count in most[:SIZES])
    more = f" and {len(most) - SIZES} more" if len(most) > SIZES else ""
    raise InputError(
        f"{labelled.parts[0].source}: found images of {len(sizes)} sizes, {shown}{more}, height by "
        f"width; set preprocess.size in params.yaml to the one they are to have, such as "
        f"{_power_of_two(statistics.median(min(size) for size in sizes))}"
    )


def _power_of_two(side: float) -> int:
    """The largest power of two that is not larger."""
    return 1 << (int(side).bit_length() - 1)


def _first(labelled: Labelled) -> _First:
    """What the first images are like that can be read."""
    for chunk in labelled.chunks():
        found = _look_at(chunk)
        if found:
            return found
    return _First((1, 1), colour=False, decoded=True)  # all are broken, which will be told


def _look_at(chunk: Chunk) -> _First | None:
    content = chunk.load()
    if isinstance(content, ArrayChunk):
        pixels = content.pixels
        colour = pixels.ndim > 3 and bool((pixels[..., :1] != pixels).any())  # noqa: PLR2004
        return _First((pixels.shape[1], pixels.shape[2]), colour, chunk is content)
    sample = list(islice(_looks(content), SAMPLE))
    if not sample:
        return None
    return _First(sample[0][0], any(colour for _, colour in sample), decoded=False)


def _looks(pictures: Pictures) -> Iterator[tuple[tuple[int, int], bool]]:
    """Height and width of each picture that can be read, and whether it is in colour."""
    for encoded in pictures:
        try:
            with without_warnings():
                image = read_picture(encoded)
        except PictureError:
            continue
        yield (image.height, image.width), in_colour(image)


def levels_of(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(256,) how many pixels of `images` have each value. Pillow counts ten times as fast."""
    if not images.size:
        return np.zeros(LEVELS, np.int64)
    row = Image.frombuffer("L", (images.size, 1), np.ascontiguousarray(images))
    return np.array(row.histogram(), np.int64)

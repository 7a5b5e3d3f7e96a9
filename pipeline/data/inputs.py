"""Pictures and tables that a user names on the command line, decoded for a model."""

import glob
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.data import csvfile, files, table
from pipeline.data.datasets import Description
from pipeline.data.files import Entry, Files
from pipeline.data.parts import BytesChunk, Chunk, Part, Pictures, file_chunks
from pipeline.data.pixels import PIXELS, decode_into
from pipeline.data.prepare import (
    SEVERAL,
    PictureError,
    Preparation,
    digits,
    read_picture,
    without_warnings,
)
from pipeline.data.sources import Labelled
from pipeline.errors import InputError, listed

STANDARD_INPUT = "-"
SHOWN = 240  # rows and columns of a picture that is drawn


@dataclass(frozen=True)
class Images:
    """What could be read."""

    names: list[str]  # N, a path or the number of a row
    paths: list[str]  # N, where the picture is; empty if it is in no file of its own
    pixels: NDArray[np.uint8]  # (N, height, width) or (N, height, width, 3)
    unread: list[str]  # names of what could not be read


@dataclass(frozen=True)
class _Found:
    """What to decode."""

    names: list[str]
    paths: list[str]
    chunks: Callable[[], Iterator[Chunk]]


class _StandardInput(BytesChunk):
    """The picture that was read from there."""

    def name(self, _number: int) -> str:
        return self.source


def read(
    locations: Sequence[str], how: Preparation, *, scratch: Path, split: bool = False
) -> Images:
    """Reads pictures, folders of pictures, or a table, and says on standard error what is unread.

    Args:
        locations: paths, patterns such as `*.png`, or `-` for a picture on standard input.
        how: to prepare them.
        scratch: a folder for a file that the result then maps into memory.
        split: whether to read several digits in a picture one by one; `how` must be mnist.

    Raises:
        InputError: a location has nothing that can be read.
    """
    paths = list(_expanded(locations))
    if any(path.endswith(".csv") for path in paths):
        if len(paths) > 1 or split:
            raise InputError(
                f"{next(path for path in paths if path.endswith('.csv'))}: is a table, which is "
                f"classified alone, without other files and without --split"
            )
        found = _table(Path(paths[0]), how)
    else:
        found = _pictures(paths)
    images = _split(found, how, scratch) if split else _decoded(found, how, scratch)
    if not images.names:
        raise InputError(f"{', '.join(paths)}: found no picture that can be read, expected some")
    return images


def original(images: Images, number: int, how: Preparation) -> Image.Image:
    """The picture that image `number` was made from, as it looks; of a table, its pixels."""
    path = images.paths[number]
    if not path:
        return Image.fromarray(images.pixels[number])
    with without_warnings():
        picture = read_picture(Path(path).read_bytes(), how)
    picture.thumbnail((SHOWN, SHOWN))
    return picture


def _expanded(locations: Iterable[str]) -> Iterator[str]:
    """The locations, patterns replaced by what they match."""
    for location in map(os.path.expanduser, locations):
        if location == STANDARD_INPUT or Path(location).exists():
            yield location
        elif matching := sorted(glob.glob(location, recursive=True)):  # noqa: PTH207, as in a shell
            yield from matching
        else:
            what = "no file matches" if glob.has_magic(location) else "no such file or folder"
            raise InputError(f"{location}: {what}")


def _table(path: Path, how: Preparation) -> _Found:
    """The rows of a table. Their shape is the model's if it fits, else they are square."""
    columns = len(csvfile.first_rows(path, str(path))[0])
    fits = math.prod(how.shape) in (columns, columns - 1)
    about = Description(shape=list(how.shape)) if fits else Description()
    read = table.pixel_table(path, str(path), about)
    names = [str(row) for row, _ in enumerate(read.lines(), start=1)]
    return _Found(names, [""] * len(names), read.chunks)


def _pictures(locations: list[str]) -> _Found:
    names, paths = [], []
    chunks: list[Callable[[], Iterator[Chunk]]] = []
    for location in locations:
        if location == STANDARD_INPUT:
            chunk = _StandardInput("standard input", 1, [sys.stdin.buffer.read()])
            chunks.append(partial(iter, (chunk,)))
            names.append(chunk.source)
            paths.append("")
            continue
        path = Path(location)
        root = path if path.is_dir() else path.parent
        below = _below(path) if path.is_dir() else [path.name]
        chunks.append(partial(file_chunks, Files(root), [*map(Entry, below)]))
        alone = path.is_dir() and len(locations) == 1
        names += below if alone else [str(root / one) for one in below]
        paths += [str(root / one) for one in below]
    return _Found(names, paths, lambda: (chunk for one in chunks for chunk in one()))


def _below(folder: Path) -> list[str]:
    """The pictures below a folder; says how many other files there are."""
    found, others = [], Counter[str]()
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_dir() or any(part.startswith(".") for part in relative.parts):
            continue
        if files.kind_of(path.name) == "folder":
            found.append(relative.as_posix())
        else:
            others[path.suffix.lower() or path.name] += 1
    kinds = listed(f"{count:,} {suffix}" for suffix, count in others.most_common())
    if not found:
        there = f"{kinds}, but " if others else ""
        raise InputError(f"{folder}: found {there}no picture, expected some")
    if others:
        print(f"{folder}: left out files that are no pictures: {kinds}", file=sys.stderr)
    return found


def _decoded(found: _Found, how: Preparation, scratch: Path) -> Images:
    part = Part("test", "", np.zeros(len(found.names), np.int8), ("",), found.chunks)
    pixels = decode_into(
        scratch,
        Labelled((part,), part.labels, ("",)),
        size=(how.height, how.width),
        channels=how.channels,
        recipe=how.recipe,
        broken="skip",
    )
    if len(found.names) == len(pixels.broken) == 1:
        raise InputError(pixels.broken[0])
    pixels.tell_broken(sys.stderr)
    if any(line.endswith(SEVERAL) for line in pixels.broken):
        print("--split reads several digits in a picture one by one", file=sys.stderr)
    readable = np.delete(np.arange(len(found.names)), pixels.unread)
    return Images(
        [found.names[index] for index in readable],
        [found.paths[index] for index in readable],
        _mapped(scratch, len(readable), how),
        [found.names[index] for index in pixels.unread],
    )


def _split(found: _Found, how: Preparation, scratch: Path) -> Images:
    """Each digit of each picture."""
    if how.recipe != "mnist":
        raise InputError(
            f"--split: finds digits, but the model's pictures are prepared by {how.recipe!r}"
        )
    names, paths, unread = [], [], []
    pictures = (
        (chunk.name(number), content)
        for chunk in found.chunks()
        if isinstance(chunk, Pictures)
        for number, content in enumerate(chunk)
    )
    with (scratch / PIXELS).open("wb") as file, without_warnings():
        for name, path, (source, content) in zip(found.names, found.paths, pictures, strict=True):
            each, problem = _digits(content, how)
            if problem:
                print(f"{source}: {problem}", file=sys.stderr)
                unread.append(name)
            for number, digit in enumerate(each, start=1):
                file.write(digit.tobytes())
                names.append(f"{name}#{number}")
                paths.append(path)
    return Images(names, paths, _mapped(scratch, len(names), how), unread)


def _digits(content: bytes, how: Preparation) -> tuple[list[NDArray[np.uint8]], str]:
    """The digits in a picture, and why there are none."""
    try:
        found = digits(read_picture(content, how), how)
    except PictureError as error:
        return [], str(error)
    return found, "" if found else "shows no digit, expected some"


def _mapped(scratch: Path, count: int, how: Preparation) -> NDArray[np.uint8]:
    if not count:
        return np.empty((0, *how.shape), np.uint8)
    return np.memmap(scratch / PIXELS, np.uint8, "r", shape=(count, *how.shape))

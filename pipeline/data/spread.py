"""The parts of a store, each decoded and written by a task on a cluster.

A part has images of one split, which lie among those of the others. So a task gets the pictures of
its part alone, wherever they lie, and no picture is sent twice.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline import tasks
from pipeline.data.decode import Task, decode
from pipeline.data.parts import Chunk, carried, selected
from pipeline.data.pixels import BITS, Pixels, check_unchanged, levels_of
from pipeline.data.sources import Labelled
from pipeline.data.store import Part, put, rows_of_a_part

Positions = NDArray[np.intp]  # of images, among all of the dataset


class Made(NamedTuple):
    """What a task says of the part that it has written."""

    split: str
    part: Part
    digests: NDArray[np.uint64]  # (rows,)
    levels: NDArray[np.int64]  # (256,) how many pixels have each value


class Wanted(NamedTuple):
    """What a task needs."""

    split: str
    number: int  # of the part
    chunks: list[Chunk]  # its images


def parts(
    store: str, labelled: Labelled, pixels: Pixels, splits: NDArray[np.uint8]
) -> Iterator[Made]:
    """Has the parts of all splits written.

    Args:
        store: the URL.
        labelled: the images.
        pixels: what is known of them once they have been looked at.
        splits: (N,) for each of all images the sum of the BITS of those that it is in.

    Yields:
        Each part, split by split, in order.

    Raises:
        IntegrityError: an image is not what it was when it was looked at.
        PipelineError: the store or the cluster cannot be used.
    """
    own = {name: np.flatnonzero(splits & bit) for name, bit in BITS.items()}
    done = dict.fromkeys(own, 0)  # images
    digests = np.memmap(pixels.digests, np.uint64, "r")
    wanted = _wanted(labelled, pixels.shape, own)
    for made in tasks.in_order(make, wanted, pixels.task, store):
        start = done[made.split]
        done[made.split] += made.part.rows
        positions = own[made.split][start : done[made.split]]
        check_unchanged(labelled, made.digests, digests[positions])
        yield made


def make(wanted: Wanted, task: Task, store: str) -> Made:
    """Decodes the images of a part, and writes it into a store. Runs on a node."""
    decoded = [decode(chunk, task) for chunk in wanted.chunks]
    images = np.concatenate([one.pixels for one in decoded])
    part = put(store, f"{wanted.split}/images-{wanted.number:05}", images)
    digests = np.concatenate([one.digests for one in decoded])
    return Made(wanted.split, part, digests, levels_of(images))


def _wanted(
    labelled: Labelled, shape: tuple[int, ...], splits: Mapping[str, Positions]
) -> Iterator[Wanted]:
    for split, positions in splits.items():
        rows = rows_of_a_part((len(positions), *shape))
        for number, chunks in enumerate(grouped(chosen(labelled.chunks(), positions), rows)):
            yield Wanted(split, number, [carried(chunk) for chunk in chunks])


def chosen(chunks: Iterable[Chunk], positions: Positions) -> Iterator[Chunk]:
    """Of chunk after chunk, the images at `positions` among all, which ascend."""
    start = 0
    for chunk in chunks:
        end = start + len(chunk)
        first, last = np.searchsorted(positions, (start, end))
        if first < last:
            yield selected(chunk, (positions[first:last] - start).tolist())
        start = end


def grouped(chunks: Iterable[Chunk], count: int) -> Iterator[list[Chunk]]:
    """The same images in groups of `count`, but for the last one."""
    group: list[Chunk] = []
    room = count
    for chunk in chunks:
        start = 0
        while start < len(chunk):
            end = min(len(chunk), start + room)
            group.append(selected(chunk, range(start, end)))
            room -= end - start
            start = end
            if not room:
                yield group
                group, room = [], count
    if group:
        yield group

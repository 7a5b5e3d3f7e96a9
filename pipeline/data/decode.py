"""Many images to pixels, in a pool of processes or on a cluster, in bounded memory.

The images come back in their order whoever decodes them, so they are the same bytes.
"""

import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from pipeline import tasks
from pipeline.data.digests import digests_of
from pipeline.data.parts import ArrayChunk, Chunk, carried
from pipeline.data.prepare import (
    PictureError,
    Preparation,
    in_colour,
    prepare,
    read_picture,
    without_warnings,
)
from pipeline.errors import InputError

CLUSTER = 0  # in place of a number of processes here
AHEAD = 4  # chunks for each process that wait for it or for us


@dataclass
class Decoded:
    """Images of a chunk, and what was found in them."""

    pixels: NDArray[np.uint8]  # (n, height, width) or (n, height, width, 3), the healthy ones
    healthy: NDArray[np.bool_]  # (N,) whether each could be read
    digests: NDArray[np.uint64]  # (n,) the same for the same pixels, if wanted
    broken: list[str] = field(default_factory=list)  # a line for each that could not be read
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # (height, width) as it was
    colour: bool = False  # whether one is in colour, where grey was expected


@dataclass(frozen=True)
class Task:
    """How a chunk is decoded."""

    preparation: Preparation
    resize: bool  # whether other sizes are fitted; else they are counted alone
    refuse_colour: bool  # whether to look for images in colour
    keep: bool = True  # whether the pixels are wanted
    digest: bool = True  # whether their digests are


def decode_all(
    chunks: Iterable[Chunk], task: Task, total: int, processes: int
) -> Iterator[Decoded]:
    """Decodes chunk after chunk.

    Args:
        chunks: what to decode.
        task: how.
        total: how many images there are.
        processes: how many decode; 1 is this one, CLUSTER those of RAY_ADDRESS.

    Raises:
        InputError: the data are not what they must be.
        IntegrityError: they have changed.
        NetworkError: the cluster does not answer.
    """
    with tqdm(
        total=total, desc="images", unit="", delay=1, leave=False, disable=not sys.stderr.isatty()
    ) as progress:
        for decoded in _in_order(chunks, task, processes):
            progress.update(len(decoded.healthy))
            yield decoded


def _in_order(chunks: Iterable[Chunk], task: Task, processes: int) -> Iterator[Decoded]:
    if processes == 1:
        yield from (decode(chunk, task) for chunk in chunks)
        return
    if processes == CLUSTER:
        yield from tasks.in_order(decode, map(carried, chunks), task)
        return
    executor = ProcessPoolExecutor(processes, get_context("spawn"), initializer=_end_with_parent)
    waiting: deque[Future[Decoded]] = deque()
    try:
        for chunk in chunks:
            waiting.append(executor.submit(decode, chunk, task))
            if len(waiting) > AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "a process that decodes images was killed, maybe for want of memory; run it again"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Makes this process ignore Ctrl-C, which its parent gets, too, and end when that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def watch() -> None:
        if parent:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def decode(chunk: Chunk, task: Task) -> Decoded:
    """Decodes the images of a chunk as `task` says."""
    decoded = _decode(chunk, task)
    if task.digest:
        decoded.digests = digests_of(decoded.pixels)
    if not task.keep:
        decoded.pixels = decoded.pixels[:0].copy()
    return decoded


def _decode(chunk: Chunk, task: Task) -> Decoded:
    how = task.preparation
    content = chunk.load()
    no_digests = np.empty(0, np.uint64)
    if isinstance(content, ArrayChunk) and content.pixels.shape[1:] == how.shape:
        count = len(content)
        sizes = Counter({(how.height, how.width): count})
        return Decoded(content.pixels, np.ones(count, np.bool_), no_digests, [], sizes)
    pixels = np.empty((len(content), *how.shape), np.uint8)
    healthy = np.zeros(len(content), np.bool_)
    result = Decoded(pixels, healthy, no_digests)
    with without_warnings():
        images: Iterable[bytes | NDArray[np.uint8]] = content
        for number, stored in enumerate(images):
            try:
                image = _image(stored, how if task.resize else None)
                width, height = image.size
                result.sizes[height, width] += 1
                result.colour |= task.refuse_colour and in_colour(image)
                if task.resize or (height, width) == (how.height, how.width):
                    pixels[number] = prepare(image, how)
                    healthy[number] = True
            except PictureError as error:
                result.broken.append(f"{content.name(number)}: {error}")
    result.pixels = pixels if healthy.all() else pixels[healthy]
    return result


def _image(stored: bytes | NDArray[np.uint8], how: Preparation | None) -> Image.Image:
    """A picture in a file, or pixels, as an image."""
    if isinstance(stored, bytes):
        return read_picture(stored, how)
    return Image.fromarray(stored)

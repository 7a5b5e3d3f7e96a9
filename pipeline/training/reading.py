"""How images get from where they are stored into TensorFlow: all, in blocks, or in batches."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.data.split import Split, let_go

BLOCK = 1 << 22  # bytes of the images that a compiled program gets at once
MAPPED = 1 << 10  # images, around each of which the system maps 64 kB of their file
READ_AHEAD = 8  # batches
ALIGNMENT = 64  # bytes


@contextmanager
def reading(*splits: Split) -> Iterator[None]:
    """For a block in which TensorFlow reads images.

    Raises:
        PipelineError: some cannot be read; TensorFlow itself says so in many lines.
    """
    try:
        yield
    except tf.errors.OpError:
        for failure in filter(None, (split.failure for split in splits)):
            raise failure from None
        raise


def tensor_of(images: NDArray[np.uint8]) -> tf.Tensor:
    """`images` as a tensor; those of a file that is mapped into memory take none besides it.

    TensorFlow takes only what can be written, as far as it knows, and begins at a multiple of
    ALIGNMENT, as the content of .npy files does.
    """
    mapped = images.base
    if isinstance(mapped, mmap) and images.flags.c_contiguous:
        file = np.frombuffer(mapped, np.uint8)
        start = images.ctypes.data - file.ctypes.data
        if file.flags.writeable and images.ctypes.data % ALIGNMENT == 0:
            shared = file[start : start + images.size].reshape(images.shape)
            return tf.experimental.dlpack.from_dlpack(shared.__dlpack__())
    return tf.constant(images)


def blocks(split: Split, order: tf.Variable, batch_size: int) -> tf.data.Dataset:
    """Many batches of `split` at once; the next block is read while one is used.

    All have the same shape, so that one compiled program suits them: the last one is filled up.

    Args:
        split: the images, in memory, in a file or in a store.
        order: (N,) int32 in which to visit them, as it is when a block is read.
        batch_size: images in a batch.

    Returns:
        Of each block the images, (rows, height, width[, 3]), and the labels, (rows,), as they lie
        in `split`; their order in the block, (rows,) int32; how many whole batches there are, and
        whether fewer images follow, which are the last.
    """
    count = order.shape[0]
    most = BLOCK // (batch_size * math.prod(split.images.shape[1:]))
    rows = batch_size * max(1, min(most, math.ceil(count / batch_size)))

    def read(places: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
        ascending = np.argsort(places)
        images = np.zeros((rows, *split.images.shape[1:]), np.uint8)
        labels = np.zeros(rows, split.labels.dtype)
        own = np.zeros(rows, np.int32)
        there = len(places)
        labels[:there] = split.labels[places[ascending]]
        own[ascending] = np.arange(there, dtype=np.int32)
        if split.remote:
            images[:there] = split.images[places[ascending]]
            return images, labels, own
        for start in range(0, there, MAPPED):
            some = places[ascending[start : start + MAPPED]]
            np.take(split.images, some, 0, images[start : start + len(some)], "clip")
            let_go(split.images)
        return images, labels, own

    def block(start: tf.Tensor) -> tuple[tf.Tensor, ...]:
        places = order[start : start + rows]
        types = (tf.uint8, split.labels.dtype, tf.int32)
        images, labels, own = tf.numpy_function(read, [places], types)
        there = tf.size(places)
        return (
            tf.ensure_shape(images, (rows, *split.images.shape[1:])),
            tf.ensure_shape(labels, (rows,)),
            tf.ensure_shape(own, (rows,)),
            there // batch_size,
            there % batch_size > 0,
        )

    starts = tf.data.Dataset.range(0, count, rows)
    return without_autotune(starts.map(block).prefetch(1))


def batches(split: Split, order: tf.Tensor, batch_size: int) -> tf.data.Dataset:
    """Batches of `split`, images and labels, in the `order`, (N,) int32."""

    def read(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return stored(split, order[start : start + batch_size])

    starts = tf.data.Dataset.range(0, order.shape[0], batch_size)
    return without_autotune(starts.map(read, at_once(split)).prefetch(READ_AHEAD))


def stored(split: Split, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The images and labels at `places`, int32 of any shape, read from where they are stored."""
    types = (tf.uint8, split.labels.dtype)
    images, labels = tf.numpy_function(lambda indices: examples(split, indices), [places], types)
    return (
        tf.ensure_shape(images, (*places.shape, *split.images.shape[1:])),
        tf.ensure_shape(labels, places.shape),
    )


def examples(split: Split, places: NDArray[np.int32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The images and labels at `places`, of any shape."""
    found = split.images[places], split.labels[places]
    let_go(split.images)
    return found


def at_once(split: Split) -> int | None:
    """How many batches of `split` to read at once; each waits for a store, in a thread of its own.

    None stands for one after the other.
    """
    return READ_AHEAD if split.remote else None


def without_autotune(data: tf.data.Dataset) -> tf.data.Dataset:
    """`data` without the background tuner, which makes some epochs wait 0.1 s."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)

"""Labelled images: how they are held out, and how they are stored."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import json_bytes
from pipeline.data.columns import class_counts
from pipeline.data.store import LOCAL, MANIFEST, Part, PartsWriter, RemoteImages
from pipeline.errors import InputError, PipelineError

ROWS = 1 << 14  # images to read at once
IMAGES, LABELS, ABOUT = "images.npy", "labels.npy", "about.json"


@dataclass(frozen=True)
class Split:
    """Labelled images for training, for validation or for the final test."""

    images: NDArray[np.uint8]  # (N, height, width), or (N, height, width, 3) in colour
    labels: NDArray[np.unsignedinteger[Any]]  # (N,), indices into class_names
    class_names: tuple[str, ...]
    largest_pixel: int  # of the training images: what counts as full intensity
    prepare: str = "pad"  # how a picture becomes such an image, see `prepare.Recipe`

    def select(self, indices: NDArray[np.intp]) -> Self:
        """The examples at `indices`, in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    @property
    def remote(self) -> bool:
        """Whether the images are in a store, and `images` reads them there when asked for some."""
        return self._in_store() is not None

    @property
    def failure(self) -> PipelineError | None:
        """Why images could not be read from a store, for whom the error itself did not reach."""
        stored = self._in_store()
        return None if stored is None else stored.failure

    def digest(self) -> str:
        """The SHA-256 of all that training reads. In a store, of the parts' SHA-256 instead."""
        about = (self.images.shape, self.class_names, self.largest_pixel)
        digest = hashlib.sha256(repr(about).encode())
        stored = self._in_store()
        if stored is not None:
            digest.update("".join(part.sha256 for part in stored.manifest.parts).encode())
        else:
            for images in in_pieces(self.images, ROWS):
                digest.update(np.ascontiguousarray(images).data)
        digest.update(self.labels.data)
        return digest.hexdigest()

    def _in_store(self) -> RemoteImages | None:
        return self.images if isinstance(self.images, RemoteImages) else None

    @property
    def about(self) -> dict[str, Any]:
        """What a model keeps of the images that it learned from."""
        return _about(self.class_names, self.largest_pixel, self.prepare)

    def save(self, folder: Path) -> None:
        """Writes images.npy, labels.npy and about.json into a new `folder`."""
        writer = SplitWriter(folder, self.images.shape)
        writer.add(self.images)
        writer.finish([self.labels], self.class_names, self.largest_pixel, self.prepare)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Reads what `SplitWriter` wrote.

        The images are mapped into memory, read-only; those in a store are read when asked for.

        Raises:
            InputError: `folder` is missing or damaged, or the store does not let us in.
            NetworkError: the store cannot be reached.
            IntegrityError: it lacks images.
        """
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            images = _images(folder)
            labels = np.load(folder / LABELS)
            names, largest = tuple(about["class_names"]), int(about["largest_pixel"])
            return cls(images, labels, names, largest, about["prepare"])
        except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
            raise InputError(f"{folder}: cannot be read ({error})") from error


def _images(folder: Path) -> NDArray[np.uint8]:
    if not (folder / MANIFEST).exists():
        images: NDArray[np.uint8] = np.load(folder / IMAGES, mmap_mode="c")
        images.flags.writeable = False  # here; TensorFlow maps nothing that cannot be written
        return images
    return cast(
        "NDArray[np.uint8]", RemoteImages.load(folder)
    )  # as far as anything here uses an array


def in_pieces(images: NDArray[np.uint8], rows: int) -> Iterator[NDArray[np.uint8]]:
    """Images, (N, ...), so many at a time; those in a file take memory for no more.

    What was read of a file that is mapped into memory counts as this process's memory until it is
    let go, after each piece. It stays in the system's cache as long as there is room.
    """
    for start in range(0, len(images), rows):
        yield images[start : start + rows]
        let_go(images)


def let_go(images: NDArray[np.uint8]) -> None:
    """Ends that what was read of images in a file counts as memory of this process."""
    if isinstance(images, np.memmap) and isinstance(images.base, mmap):
        images.base.madvise(MADV_DONTNEED)


class SplitWriter:
    """Writes a split piece by piece, for `Split.load` to read."""

    def __init__(self, folder: Path, shape: tuple[int, ...], url: str = LOCAL) -> None:
        """Writes into a new `folder`.

        Args:
            folder: for all but the images, and for them, too, if they are local.
            shape: of all images, (N, height, width) or (N, height, width, 3).
            url: of the store where the images go, into a folder called like `folder`; or local.
        """
        folder.mkdir()
        self.folder = folder
        self.count = shape[:1]
        self.images: _ImagesFile | PartsWriter = (
            _ImagesFile(folder / IMAGES, shape) if url == LOCAL else PartsWriter(url, folder, shape)
        )

    def add(self, images: NDArray[np.uint8]) -> None:
        """Writes the next images, (M, height, width) or (M, height, width, 3)."""
        self.images.add(images)

    def append(self, part: Part, digests: NDArray[np.uint64]) -> None:
        """Takes note of a part with the next images, which is in the store already."""
        if not isinstance(self.images, PartsWriter):
            raise TypeError("local images are in no parts")
        self.images.append(part, digests)

    def finish(
        self,
        labels: Iterable[NDArray[np.integer[Any]]],
        class_names: tuple[str, ...],
        largest_pixel: int,
        prepare: str,
    ) -> None:
        """Writes the rest, once all images have been added; see the fields of `Split`.

        The labels, (M,) of the next M images, each, until all N have been, are stored in the
        smallest type that has a value for each class.
        """
        self.images.close()
        dtype = np.min_scalar_type(len(class_names) - 1)
        with (self.folder / LABELS).open("wb") as file:
            _write_header(file, self.count, dtype)
            for some in labels:
                file.write(some.astype(dtype).data)
        about = _about(class_names, largest_pixel, prepare)
        (self.folder / ABOUT).write_bytes(json_bytes(about))


class _ImagesFile:
    """Writes images.npy piece by piece."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.file = path.open("wb")
        _write_header(self.file, shape, np.dtype(np.uint8))

    def add(self, images: NDArray[np.uint8]) -> None:
        """Writes the next images."""
        self.file.write(np.ascontiguousarray(images).data)

    def close(self) -> None:
        """Completes the file."""
        self.file.close()


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """The beginning of a .npy file, as np.save writes it."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _about(class_names: tuple[str, ...], largest_pixel: int, prepare: str) -> dict[str, Any]:
    return {
        "class_names": list(class_names),
        "largest_pixel": largest_pixel,
        "prepare": prepare,
    }


def stratified(
    labels: Callable[[], Iterable[NDArray[np.integer[Any]]]], count: int, seed: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Chooses `count` examples at random, the same share of every class.

    The shares are rounded by the method of largest remainders (Hamilton's), so that they add up to
    `count` and each is within 1 of exact.

    Args:
        labels: returns the class of each example, (M,) of the next M, until all have been; of those
            whose class is below 0 none is chosen.
        count: how many to choose, 0 to all others.
        seed: the same seed chooses the same examples.

    Returns:
        (count,) the positions of those chosen.
    """
    generator = np.random.Generator(np.random.Philox(key=seed))
    of_class = class_counts(labels())
    classes = np.flatnonzero(of_class)
    sizes, total = of_class[classes], max(1, of_class.sum())
    shares = sizes * count // total
    remainders = sizes * count % total
    shares[np.argsort(-remainders, kind="stable")[: count - shares.sum()]] += 1
    dtype = np.min_scalar_type(sum(len(some) for some in labels()))
    chosen, start = np.empty(count, dtype), 0
    for label, size, share in zip(classes, sizes, shares, strict=True):
        positions = np.empty(size, dtype)
        found = done = 0
        for some in labels():
            own = done + np.flatnonzero(some == label)
            positions[found : found + len(own)] = own
            found += len(own)
            done += len(some)
        generator.shuffle(positions)
        chosen[start : start + share] = positions[:share]
        start += share
    return chosen

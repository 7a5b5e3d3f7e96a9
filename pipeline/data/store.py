"""Images in a store, such as a bucket: written in parts, and read by ranges of bytes.

A store is a folder that a URL names, which fsspec reads and writes: s3://BUCKET/FOLDER, or
file:///FOLDER for a file system that several machines mount. A split's images are there in parts,
each a whole .npy file that is never changed: its name ends with the beginning of its SHA-256, so
that another seed, or another commit, adds parts of its own and takes none away. What belongs to a
split, and in what order, is in its manifest, images.json, which is an output of DVC like the labels
beside it.

As long as there is room, a part that is needed for a second time is read whole, compared with its
SHA-256, and kept in memory. Of the other parts single images are read, by ranges of bytes, which
the SHA-256 does not cover: each of them is compared with its own digest, from digests.npy.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pipeline import machine
from pipeline.artifacts import json_bytes
from pipeline.data.digests import digests_of
from pipeline.errors import InputError, IntegrityError, NetworkError, PipelineError, listed
from pipeline.records import one_line

LOCAL = "local"  # what preprocess.store says for no store
MANIFEST, DIGESTS = "images.json", "digests.npy"

PART = 1 << 25  # bytes of the images in a part, at most: one request each way
KEPT = 1 / 16  # of the memory: parts of a split that are kept there
AT_ONCE = 4  # parts that are uploaded, or wait for it
GAP = 1 << 14  # bytes between two ranges up to which one request takes both
MOST = 1 << 23  # bytes of a request
CONNECTIONS = 64  # to S3
PATIENCE = {"connect_timeout": 10, "read_timeout": 30}  # seconds, before S3 is asked again
WHOLE = {"abfs", "az", "gcs", "gs", "memory", "s3", "s3a"}  # where an object appears when complete
NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"}  # botocore's
AGAIN = "dvc repro --force preprocess writes it again"


class RefusedError(InputError):
    """The store does not let us in, or nothing here can talk to it."""


class Part(NamedTuple):
    """A file in a store with consecutive images of a split."""

    name: str  # below the store's URL
    rows: int  # images
    size: int  # bytes of the file
    sha256: str  # of the file


@dataclass(frozen=True)
class Manifest:
    """Where the images of a split are."""

    store: str  # the URL
    shape: tuple[int, ...]  # (N, height, width), or (N, height, width, 3) in colour
    parts: tuple[Part, ...]  # in order

    def as_json(self) -> dict[str, Any]:
        """What images.json says."""
        return {
            "store": self.store,
            "shape": list(self.shape),
            "parts": [part._asdict() for part in self.parts],
        }

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads an images.json.

        Raises:
            ValueError, LookupError, TypeError: it is none.
        """
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = tuple(Part(**part) for part in content["parts"])
        shape = tuple(map(int, content["shape"]))
        if sum(part.rows for part in parts) != shape[0]:
            raise ValueError(f"{path.name}: its parts do not add up to {shape[0]:,} images")
        return cls(content["store"], shape, parts)


class PartsWriter:
    """Writes the images of a split into a store, part by part, while more are made.

    A part that the store has is not sent again, and nothing there is changed or removed.
    """

    def __init__(self, store: str, folder: Path, shape: tuple[int, ...]) -> None:
        """Begins.

        Args:
            store: the URL.
            folder: where the manifest and the digests go; the parts go into one of its name.
            shape: of all images, (N, height, width) or (N, height, width, 3).
        """
        self.store, self.folder, self.shape = store, folder, shape
        self.there = _sizes(store, folder.name)
        self.digests: list[NDArray[np.uint64]] = []
        self.parts: list[Future[Part]] = []
        self.held: list[NDArray[np.uint8]] = []  # images of the next part
        self.room = rows_of_a_part(shape)  # for more of them
        self.executor = ThreadPoolExecutor(AT_ONCE)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Writes the next images, (M, height, width) or (M, height, width, 3)."""
        self.digests.append(digests_of(images))
        while len(images):
            taken, images = images[: self.room], images[self.room :]
            self.held.append(taken)
            self.room -= len(taken)
            if not self.room:
                self._send()

    def append(self, part: Part, digests: NDArray[np.uint64]) -> None:
        """Takes note of a part with the next images that somebody else has written."""
        self.digests.append(digests)
        written: Future[Part] = Future()
        written.set_result(part)
        self.parts.append(written)

    def close(self) -> None:
        """Waits until all images are in the store, and writes the manifest and the digests."""
        if self.held:
            self._send()
        manifest = Manifest(self.store, self.shape, tuple(one.result() for one in self.parts))
        self.executor.shutdown()
        np.save(self.folder / DIGESTS, np.concatenate([np.empty(0, np.uint64), *self.digests]))
        (self.folder / MANIFEST).write_bytes(json_bytes(manifest.as_json()))

    def _send(self) -> None:
        number = len(self.parts)
        if number >= AT_ONCE:
            self.parts[number - AT_ONCE].result()  # so that few of them wait in memory
        stem = f"{self.folder.name}/images-{number:05}"
        images = np.concatenate(self.held)
        self.parts.append(self.executor.submit(put, self.store, stem, images, self.there))
        self.held, self.room = [], rows_of_a_part(self.shape)


def reach(store: str) -> None:
    """Makes sure that a store answers, before much is done for it.

    Raises:
        RefusedError: it does not let us in, or nothing here can talk to it.
        NetworkError: it cannot be reached.
    """
    _sizes(store, "train")


def rows_of_a_part(shape: tuple[int, ...]) -> int:
    """How many images of `shape`, (N, height, width[, 3]), a part has, but for the last one."""
    return max(1, PART // math.prod(shape[1:]))


def put(
    store: str, stem: str, images: NDArray[np.uint8], there: dict[str, int] | None = None
) -> Part:
    """Writes a part, unless it is there.

    Args:
        store: the URL.
        stem: what its name begins with, below that.
        images: (M, height, width[, 3]).
        there: the sizes of the parts in its folder, by their names, if they are known.

    Raises:
        RefusedError: the store does not let us in.
        NetworkError: it cannot be reached.
    """
    content = _npy(images)
    sha256 = hashlib.sha256(content).hexdigest()
    part = Part(f"{stem}-{sha256[:16]}.npy", len(images), len(content), sha256)
    found = _size(store, part.name) if there is None else there.get(part.name)
    if found != part.size:
        files, root = _opened(store)
        with _telling(store):
            _write_whole(files, f"{root}/{part.name}", content)
    return part


def _size(store: str, name: str) -> int | None:
    """The size of a file in a store; None if it is not there."""
    files, root = _opened(store)
    with _telling(store):
        files.invalidate_cache()
        try:
            return int(files.info(f"{root}/{name}")["size"])
        except FileNotFoundError:
            return None


def _npy(images: NDArray[np.uint8]) -> bytes:
    content = BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(images), version=(1, 0))
    return content.getvalue()


def _write_whole(files: Any, path: str, content: bytes) -> None:  # noqa: ANN401, of fsspec
    """Writes a file that appears under its name once it is complete."""
    if _protocols(files) & WHOLE:
        files.pipe_file(path, content)
        return
    files.makedirs(path.rpartition("/")[0], exist_ok=True)
    own = f"{path}.{os.getpid()}.tmp"  # another process may be writing the same part
    files.pipe_file(own, content)
    files.mv(own, path)


class RemoteImages:
    """Images in a store, read when asked for. In slices and by indices it is like an array.

    Args:
        manifest: where they are.
        digests: (N,) of each.
        first: which of all images of the manifest is the first here.
        room: bytes of parts to keep in memory.
    """

    dtype = np.dtype(np.uint8)

    def __init__(
        self, manifest: Manifest, digests: NDArray[np.uint64], first: int = 0, room: int = 0
    ) -> None:
        self.manifest, self.digests, self.first, self.room = manifest, digests, first, room
        self.shape = (len(digests), *manifest.shape[1:])
        self.starts = np.cumsum([0, *(part.rows for part in manifest.parts)])  # of each part
        self.kept: dict[int, NDArray[np.uint8]] = {}  # parts in memory
        self.seen: set[int] = set()  # parts that have been needed
        self.lock = Lock()  # while a part is read whole
        self.failure: PipelineError | None = None  # of a read, for a caller whom it did not reach

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The images of which `PartsWriter` left the manifest and the digests in `folder`.

        Raises:
            OSError, ValueError, LookupError, TypeError: those are missing or damaged.
            PipelineError: the store cannot be reached, or lacks a part.
        """
        digests = np.load(folder / DIGESTS, mmap_mode="r")
        images = cls(Manifest.load(folder / MANIFEST), digests, room=int(KEPT * machine.memory()))
        images.check()
        return images

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteImages, (self.manifest, np.array(self.digests), self.first)

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes they take."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:  # noqa: ANN401, as an array's
        """Reads images: one by its index, or several by a slice, indices or a mask.

        Raises:
            InputError: the store does not let us in, or what reads it is not installed.
            NetworkError: the store cannot be reached.
            IntegrityError: a part is missing, or an image is not what it was.
        """
        rows = self._rows(key)
        try:
            images = self._read(rows.reshape(-1))
        except PipelineError as error:
            self.failure = error
            raise
        return images.reshape(*rows.shape, *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: ANN401, as numpy calls it
        """Reads all."""
        return self[:].astype(dtype or self.dtype, copy=bool(copy))

    def section(self, start: int, stop: int) -> "RemoteImages":
        """The images from `start` up to `stop`, which need not know of the others."""
        digests = np.array(self.digests[start:stop])
        first = self.first + start
        low = int(np.searchsorted(self.starts, first, side="right")) - 1
        high = int(np.searchsorted(self.starts, first + len(digests)))
        few = self.manifest.parts[low : max(high, low + 1)]
        manifest = Manifest(self.manifest.store, self.manifest.shape, few)
        return RemoteImages(manifest, digests, first - int(self.starts[low]))

    def check(self) -> None:
        """Checks that all parts are in the store.

        Raises:
            As `__getitem__`.
        """
        store = self.manifest.store
        splits = {part.name.partition("/")[0] for part in self.manifest.parts}
        there = {name: size for split in splits for name, size in _sizes(store, split).items()}
        for part in self.manifest.parts:
            if there.get(part.name) != part.size:
                found = f"{there[part.name]:,} bytes" if part.name in there else "nothing"
                raise IntegrityError(
                    f"{store}/{part.name}: found {found}, expected {part.size:,} bytes; {AGAIN}"
                )

    def _rows(self, key: Any) -> NDArray[np.intp]:  # noqa: ANN401, as an array's
        """The rows that `key` stands for, from 0 up; nothing here is as long as all images are."""
        if isinstance(key, slice):
            return np.arange(*key.indices(len(self)))
        numbers = np.asarray(key)
        if numbers.dtype == np.bool_:
            numbers = np.flatnonzero(numbers)
        rows = numbers.astype(np.intp)
        if rows.size and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"found {key}, expected indices of {len(self):,} images")
        return np.where(rows < 0, rows + len(self), rows)

    def _read(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The images at `rows`, (M,)."""
        wanted, places = np.unique(rows + self.first, return_inverse=True)
        images = np.empty((len(wanted), *self.shape[1:]), np.uint8)
        parts = np.searchsorted(self.starts, wanted, side="right") - 1
        left = np.ones(len(wanted), np.bool_)
        for number in np.unique(parts).tolist():
            own = parts == number
            whole = self._whole(number, int(own.sum()))
            if whole is not None:
                images[own] = whole[wanted[own] - self.starts[number]]
                left[own] = False
        if left.any():
            images[left] = self._pieces(wanted[left])
        return images if np.array_equal(rows + self.first, wanted) else images[places]

    def _whole(self, number: int, needed: int) -> NDArray[np.uint8] | None:
        """A part in memory, of which so many images are needed; None to read only those."""
        with self.lock:
            if number not in self.kept:
                part = self.manifest.parts[number]
                again = number in self.seen
                self.seen.add(number)
                if part.size > self.room or not (again or needed == part.rows):
                    return None
                pieces = range(0, part.size, MOST)
                found = read_ranges(
                    self.manifest.store,
                    [(part, start, min(start + MOST, part.size)) for start in pieces],
                )
                content = b"".join(found)
                if hashlib.sha256(content).hexdigest() != part.sha256:
                    raise self._damaged(part, "its SHA-256 is not what it was")
                self.room -= part.size
                header = part.size - part.rows * self._size
                self.kept[number] = np.frombuffer(content, np.uint8, offset=header).reshape(
                    -1, *self.shape[1:]
                )
            return self.kept[number]

    def _pieces(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The images at `rows` of the manifest, (M,) ascending, read one by one or nearly so."""
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        spans = merged(rows, self.starts, self._size)
        ranges = []
        for span in spans:
            part = self.manifest.parts[span.part]
            header = part.size - part.rows * self._size
            ranges.append((part, header + span.start, header + span.stop))
        for span, content in zip(spans, read_ranges(self.manifest.store, ranges), strict=True):
            if len(content) != span.stop - span.start:
                raise self._damaged(self.manifest.parts[span.part], "it ends early")
            found = np.frombuffer(content, np.uint8).reshape(-1, *self.shape[1:])
            images[span.places] = found[rows[span.places] - span.row]
        wrong = rows[digests_of(images) != self.digests[rows - self.first]]
        if len(wrong):
            number = int(np.searchsorted(self.starts, wrong[0], side="right")) - 1
            what = (
                f"{len(wrong):,} of the {len(rows):,} images that were read are not what they were"
            )
            raise self._damaged(self.manifest.parts[number], what)
        return images

    @property
    def _size(self) -> int:
        """Bytes of an image."""
        return math.prod(self.shape[1:])

    def _damaged(self, part: Part, what: str) -> IntegrityError:
        return IntegrityError(
            f"{self.manifest.store}/{part.name}: is damaged, {what}; delete it, then {AGAIN}"
        )


class Span(NamedTuple):
    """What one request reads."""

    part: int  # which part of the manifest
    row: int  # the first row, among all of the manifest
    places: slice  # of the rows that were asked for
    start: int  # bytes from here on, after the header
    stop: int  # up to here


def merged(rows: NDArray[np.intp], starts: NDArray[np.intp], size: int) -> list[Span]:
    """The requests that read `rows`.

    Those that are adjacent, or nearly so, are read by one, but none reads across parts.

    Args:
        rows: (M,) ascending, each once.
        starts: (P + 1,) the first row of each part, and how many rows there are.
        size: bytes of a row.
    """
    parts = np.searchsorted(starts, rows, side="right") - 1
    apart = np.diff(rows) > 1 + GAP // size
    begins = np.flatnonzero(apart | (np.diff(parts) > 0)) + 1
    most = max(1, MOST // size)
    spans = []
    for begin, end in zip((0, *begins), (*begins, len(rows)), strict=True):
        place = int(begin)
        while place < end:
            after = place + int(np.searchsorted(rows[place:end], rows[place] + most))
            part, row = int(parts[place]), int(rows[place])
            start = (row - int(starts[part])) * size
            stop = start + (int(rows[after - 1]) + 1 - row) * size
            spans.append(Span(part, row, slice(place, after), start, stop))
            place = after
    return spans


def read_ranges(store: str, ranges: Sequence[tuple[Part, int, int]]) -> list[bytes]:
    """The bytes from the second to the third number in each part, all asked for at once."""
    files, root = _opened(store)
    with _telling(store):
        try:
            found: list[bytes] = files.cat_ranges(
                [f"{root}/{part.name}" for part, _, _ in ranges],
                [start for _, start, _ in ranges],
                [stop for _, _, stop in ranges],
                on_error="raise",
            )
        except FileNotFoundError as error:
            names = listed(dict.fromkeys(part.name for part, _, _ in ranges), 3)
            raise IntegrityError(f"{store}: a part is missing, one of {names}; {AGAIN}") from error
    return found


def _sizes(store: str, split: str) -> dict[str, int]:
    """The sizes of the files in a folder of a store, by their names below the store's URL."""
    files, root = _opened(store)
    with _telling(store):
        files.invalidate_cache()
        try:
            entries = files.ls(f"{root}/{split}", detail=True)
        except FileNotFoundError:
            return {}
    return {f"{split}/{one['name'].rpartition('/')[2]}": int(one["size"] or 0) for one in entries}


def _opened(store: str) -> tuple[Any, str]:
    """The file system of a store, and the path of its folder there.

    Raises:
        RefusedError: what reads it is not installed, or there is no such kind of store.
    """
    import fsspec

    if store.startswith("file:") and not store.startswith("file:///"):
        raise RefusedError(f"{store}: found a path that is not absolute, expected file:///FOLDER")
    on_s3 = store.startswith(("s3:", "s3a:"))
    options = {"config_kwargs": {**PATIENCE, "max_pool_connections": CONNECTIONS}} if on_s3 else {}
    try:
        files, root = fsspec.url_to_fs(store, **options)
    except ImportError as error:
        raise RefusedError(
            f"{store}: {one_line(error)}, which is not installed here; make extras has s3fs, for "
            f"s3://"
        ) from error
    except ValueError as error:
        raise RefusedError(
            f"{store}: found no store of this kind ({one_line(error)}), expected "
            f"s3://BUCKET/FOLDER or file:///FOLDER as preprocess.store"
        ) from error
    return files, str(root).rstrip("/")


def _protocols(files: Any) -> set[str]:  # noqa: ANN401, of fsspec
    """The names by which URLs call a file system."""
    return {files.protocol} if isinstance(files.protocol, str) else {*files.protocol}


@contextmanager
def _telling(store: str) -> Iterator[None]:
    """For a block that talks to a store: says in a line what went wrong.

    Raises:
        RefusedError: the store does not let us in.
        NetworkError: it cannot be reached.
    """
    try:
        yield
    except (AttributeError, NameError, PipelineError, TypeError):  # ours
        raise
    except FileNotFoundError as error:
        raise RefusedError(f"{store}: no such bucket or folder; make it first") from error
    except Exception as error:  # whatever the libraries behind fsspec raise
        if isinstance(error, OSError) and store.startswith("file:"):
            raise  # the disk's
        if isinstance(error, PermissionError) or type(error).__name__ in NO_CREDENTIALS:
            raise RefusedError(
                f"{store}: does not let us in ({one_line(error)}); for s3:// set AWS_ACCESS_KEY_ID "
                f"and AWS_SECRET_ACCESS_KEY"
            ) from error
        raise NetworkError(f"{store}: cannot be reached ({one_line(error)}); try again") from error

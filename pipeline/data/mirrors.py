"""Mirrors: folders and URLs that serve the files of a dataset, and how a file is fetched.

A mirror may serve a file plain or as `.gz`. What it serves is decompressed, unless the file is to
be a `.gz` itself, and compared with the file's digest on the way to the disk.
"""

import gzip
import io
import logging
import os
import re
import signal
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urljoin

import requests
import urllib3
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from pipeline.data.datasets import Dataset, Digests, File
from pipeline.errors import InputError, IntegrityError, NetworkError, PipelineError

CHUNK = 1 << 16  # bytes
GZIP_MAGIC = b"\x1f\x8b"
GZIP_OVERHEAD = 1 << 17  # bytes by which compression may lengthen a file, generously
ATTEMPTS = 4
COMPRESSED = (".gz", ".tgz")  # ends of names of files that are kept as they are
FILES_SHOWN = 6  # of those that a folder has instead

Stream = io.RawIOBase | urllib3.HTTPResponse  # what a mirror serves


@dataclass(frozen=True)
class Patience:
    """How long to wait for a mirror, in seconds."""

    connect: float = 10
    read: float = 30  # for the next bytes
    file: float = 600  # for one file, retries included
    backoff: float = 0.5  # before the first retry; it doubles with each


def mirrors_of(dataset: Dataset) -> list[str]:
    """Where to look for its files, in this order: the user's DATASET_MIRROR first."""
    own = os.environ.get("DATASET_MIRROR")
    return [own, *dataset.mirrors] if own else list(dataset.mirrors)


def check(mirror: str) -> None:
    """Checks that `mirror` is of a kind that can be read.

    Raises:
        InputError: it is neither a folder nor an http or https URL.
    """
    if "://" in mirror and not mirror.startswith(("http://", "https://")):
        raise InputError(f"mirror {shown(mirror)}: expected a folder, or an http or https URL")


def shown(text: str) -> str:
    """`text`, which may quote a URL, without the credentials in it."""
    return re.sub(r"\?\S+", "?***", re.sub(r"(?<=://)[^/\s]*@", "***@", text))


def fetch(file: File, mirrors: list[str], target: Path, patience: Patience) -> str:
    """Writes `file` to `target` from the first of `mirrors` that serves it.

    Returns:
        That mirror.

    Raises:
        NetworkError: none served it.
        IntegrityError: none served it, and at least one served wrong bytes.
    """
    failures: list[tuple[str, PipelineError]] = []
    for mirror in mirrors:
        try:
            with _deadline(patience.file):
                if "://" in mirror:
                    _download(mirror, file, target, patience)
                else:
                    _copy(Path(mirror), file, target)
        except (NetworkError, IntegrityError) as error:
            failures.append((mirror, error))
        else:
            return mirror
    corrupt = any(isinstance(error, IntegrityError) for _, error in failures)
    raise (IntegrityError if corrupt else NetworkError)(
        f"{file.name}: no mirror served it"
        + "".join(f"\n  {shown(mirror)}: {shown(str(error))}" for mirror, error in failures)
    )


def _copy(folder: Path, file: File, target: Path) -> None:
    """Writes `file` to `target` from `folder`, which may have it under another spelling.

    Raises:
        NetworkError: `folder` does not have it.
        IntegrityError: it has it with other bytes.
    """
    if not folder.is_dir():
        raise NetworkError("no such folder")
    names = [name for spelling in spellings(file.name) for name in served(spelling)]
    present = [path for path in (folder / name for name in names) if path.is_file()]
    if not present:
        others = sorted(path.name for path in folder.iterdir())[:FILES_SHOWN]
        raise NetworkError(
            f"has no {' and no '.join(served(file.name))}, only {', '.join(others) or 'nothing'}"
        )
    failures = []
    for path in present:
        try:
            with path.open("rb", buffering=0) as stream:
                return _copy_verified(stream, file, target)
        except IntegrityError as error:
            failures.append(f"{path.name} {error}")
    raise IntegrityError("; ".join(failures))


def served(name: str) -> list[str]:
    """What a mirror may have instead of a file called `name`: it or a compressed one."""
    return [name] if name.endswith(COMPRESSED) else [f"{name}.gz", name]


def spellings(name: str) -> list[str]:
    """`name`, such as t10k-images-idx3-ubyte, and how archivers and other collections spell it."""
    names = [name, name.replace("t10k-", "test-")]
    return list(dict.fromkeys([*names, *(one.replace("-idx", ".idx") for one in names)]))


def _download(mirror: str, file: File, target: Path, patience: Patience) -> None:
    """Writes `file` to `target` from the URL `mirror`, and retries when a connection breaks."""
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings of retries quote the URL
    retry = urllib3.Retry(
        total=ATTEMPTS - 1,
        status_forcelist=[408, 429, *range(500, 600)],
        backoff_factor=patience.backoff,
        raise_on_status=False,
        redirect=False,
    )
    while True:
        try:
            with _opened(mirror, file.name, retry, patience) as stream:
                return _copy_verified(stream, file, target)
        except urllib3.exceptions.HTTPError as error:  # the connection broke in mid-file
            if retry.total == 0:
                raise NetworkError(f"{error.args[0]}, {ATTEMPTS} times") from error
            retry = retry.increment(method="GET", error=error)
            time.sleep(retry.get_backoff_time())


@contextmanager
def _opened(mirror: str, name: str, retry: urllib3.Retry, patience: Patience) -> Iterator[Stream]:
    """The bytes of `name` as the mirror has them, compressed or plain.

    Raises:
        NetworkError: the mirror does not have the file or does not answer.
    """
    with _Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        for url in (f"{mirror.rstrip('/')}/{one}" for one in served(name)):
            with _get(session, url, patience) as response:
                if response.ok:
                    response.raw.auto_close = False  # BufferedReader reads past the last byte
                    yield response.raw
                    return
            if response.status_code not in (requests.codes.not_found, requests.codes.gone):
                break
        raise NetworkError(f"answered {response.status_code} {response.reason}")


def _get(session: requests.Session, url: str, patience: Patience) -> requests.Response:
    """The response from `url`, its body not read yet and not decoded."""
    try:
        return session.get(
            url,
            stream=True,
            timeout=(patience.connect, patience.read),
            headers={"Accept-Encoding": "identity"},
        )
    except requests.RequestException as error:
        cause = error.args[0] if error.args else error
        raise NetworkError(str(getattr(cause, "reason", cause))) from error


class _Session(requests.Session):
    """Follows a few redirects, but never from https to anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = 5

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target and resp.url.startswith("https:"):
            url = urljoin(resp.url, target)
            if not url.startswith("https:"):
                raise requests.exceptions.InvalidSchema(f"redirects from https to {url}")
        return target


class _AtMost(io.RawIOBase):
    """At most the first `limit` bytes of `stream`, which may be endless."""

    def __init__(self, stream: Stream, limit: int) -> None:
        self.stream, self.left = stream, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self.stream.readinto(buffer[: self.left]) or 0
        self.left -= count
        return count


def _copy_verified(stream: Stream, file: File, target: Path) -> None:
    """Writes `stream` to `target`, decompressed, and stops soon after `file.size` bytes.

    Raises:
        IntegrityError: the bytes are not those of `file`.
    """
    size = sys.maxsize - GZIP_OVERHEAD if file.size is None else file.size
    bounded = io.BufferedReader(_AtMost(stream, size + GZIP_OVERHEAD))
    content: io.BufferedIOBase = bounded
    if bounded.peek(2)[:2] == GZIP_MAGIC and not file.name.endswith(COMPRESSED):
        content = gzip.GzipFile(fileobj=bounded)
    digests = Digests()
    with (
        target.open("wb") as output,
        tqdm(
            total=file.size,
            desc=file.name,
            unit="B",
            unit_scale=True,
            leave=False,
            disable=not sys.stderr.isatty(),
        ) as progress,
    ):
        try:
            while digests.size <= size and (
                chunk := content.read(min(CHUNK, size + 1 - digests.size))
            ):
                digests.update(chunk)
                output.write(chunk)
                progress.update(len(chunk))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IntegrityError(
                f"is a broken .gz file after {digests.size:,} bytes ({error})"
            ) from error
    if file.size not in (None, digests.size):
        found = f"has {digests.size:,}" if digests.size < size else "has more"
        raise IntegrityError(f"{found} bytes, expected {file.size:,}")
    if not file.verifies(digests):
        name, expected = ("SHA-256", file.sha256) if file.sha256 else ("MD5", file.md5)
        found = (digests.sha256 if file.sha256 else digests.md5).hexdigest()
        raise IntegrityError(f"has {name} {found}, expected {expected}")


class _DeadlineError(Exception):
    """Not an OSError, which a retry loop would take for a passing fault."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Interrupts the block after `seconds`, whether it waits for a name, a header or a byte.

    Raises:
        NetworkError: the time is up.
    """

    def expire(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise _DeadlineError

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _DeadlineError:
        raise NetworkError(f"not done after {seconds:g} seconds") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

"""Stage 1: the dataset's files, decompressed and verified, into data/raw."""

import gzip
import hashlib
import io
import os
import signal
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urljoin

import requests
import urllib3
from requests.adapters import HTTPAdapter
from tqdm import tqdm

from pipeline import paths, stage
from pipeline.artifacts import replacing_folder, write_json
from pipeline.datasets import Dataset, File, find
from pipeline.errors import InputError, IntegrityError, NetworkError, PipelineError
from pipeline.params import Params

CHUNK = 1 << 16  # bytes
GZIP_MAGIC = b"\x1f\x8b"
GZIP_OVERHEAD = 1 << 17  # bytes by which compression may lengthen a file, generously
ATTEMPTS = 4

Stream = io.RawIOBase | urllib3.HTTPResponse  # what a mirror gives


@dataclass(frozen=True)
class Patience:
    """How long to wait for a mirror, in seconds."""

    connect: float = 10
    read: float = 30  # for the next bytes
    file: float = 600  # for one file, retries and all
    backoff: float = 0.5  # before the first retry; it doubles with each


def download(
    dataset: Dataset, mirrors: list[str], raw: Path, metrics: Path, patience: Patience | None = None
) -> None:
    """Puts the files of `dataset` into `raw`, all or none, and says so in `metrics`.

    Args:
        dataset: what to fetch.
        mirrors: folders or URLs that hold its files, plain or as `.gz`; tried in this order.
        raw: the folder to make. What it held is replaced, unless it holds these files already.
        metrics: the JSON file to write.
        patience: how long to wait.

    Raises:
        InputError: a mirror is neither a folder nor an http or https URL.
        NetworkError: no mirror served a file.
        IntegrityError: none served the right bytes, and at least one served wrong ones.
    """
    for mirror in mirrors:
        if "://" in mirror and not mirror.startswith(("http://", "https://")):
            raise InputError(f"mirror {mirror}: expected a folder, or an http or https URL")
    if all(_verified(raw / file.name, file) for file in dataset.files):
        print(f"{dataset.name}: {len(dataset.files)} files are in {raw} already, verified")
    else:
        with replacing_folder(raw) as temporary:
            for file in dataset.files:
                mirror = _fetch(file, mirrors, temporary / file.name, patience or Patience())
                print(f"{file.name}: {file.size:,} bytes from {mirror}, verified")
    write_json(
        metrics,
        {
            "dataset": dataset.name,
            "bytes": sum(file.size for file in dataset.files),
            "files": [asdict(file) for file in dataset.files],
        },
    )


def _verified(path: Path, file: File) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


def _fetch(file: File, mirrors: list[str], target: Path, patience: Patience) -> str:
    """Writes `file` to `target` from the first mirror that serves it, and returns that mirror."""
    failures: list[tuple[str, PipelineError]] = []
    for mirror in mirrors:
        try:
            with _deadline(patience.file):
                _fetch_from(mirror, file, target, patience)
        except (NetworkError, IntegrityError) as error:
            failures.append((mirror, error))
        else:
            return mirror
    corrupt = any(isinstance(error, IntegrityError) for _, error in failures)
    raise (IntegrityError if corrupt else NetworkError)(
        f"{file.name}: no mirror served it"
        + "".join(f"\n  {mirror}: {error}" for mirror, error in failures)
        + "\n  offline? set DATASET_MIRROR to a folder that holds the files, as .gz or plain"
    )


def _fetch_from(mirror: str, file: File, target: Path, patience: Patience) -> None:
    """Writes `file` to `target` from `mirror`, retrying while its connections break."""
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
        except urllib3.exceptions.HTTPError as error:  # the connection broke inside the file
            if retry.total == 0:
                raise NetworkError(f"{error.args[0]}, {ATTEMPTS} times") from error
            retry = retry.increment(method="GET", error=error)
            time.sleep(retry.get_backoff_time())


@contextmanager
def _opened(mirror: str, name: str, retry: urllib3.Retry, patience: Patience) -> Iterator[Stream]:
    """The bytes of `name` as the mirror has them, compressed or not.

    Raises:
        NetworkError: the mirror does not have the file, or does not answer.
    """
    if "://" not in mirror:
        if not Path(mirror).is_dir():
            raise NetworkError("no such folder")
        for path in (Path(mirror, f"{name}.gz"), Path(mirror, name)):
            if path.is_file():
                with path.open("rb", buffering=0) as stream:
                    yield stream
                return
        raise NetworkError(f"holds neither {name}.gz nor {name}")

    with _Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        for url in (f"{mirror.rstrip('/')}/{name}.gz", f"{mirror.rstrip('/')}/{name}"):
            with _get(session, url, patience) as response:
                if response.ok:
                    response.raw.auto_close = False  # BufferedReader asks on after the last byte
                    yield response.raw
                    return
            if response.status_code not in (requests.codes.not_found, requests.codes.gone):
                break
        raise NetworkError(f"answered {response.status_code} {response.reason}")


def _get(session: requests.Session, url: str, patience: Patience) -> requests.Response:
    """The answer from `url`, its body still to be read, as the mirror has it."""
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
    """The first `limit` bytes of `stream`, where a file should have ended."""

    def __init__(self, stream: Stream, limit: int) -> None:
        self.stream, self.left = stream, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self.stream.readinto(buffer[: self.left]) or 0
        self.left -= count
        return count


def _copy_verified(stream: Stream, file: File, target: Path) -> None:
    """Writes `stream`, decompressed if need be, to `target`; not much more than `file.size` of it.

    Raises:
        IntegrityError: the bytes are not those of `file`.
    """
    bounded = io.BufferedReader(_AtMost(stream, file.size + GZIP_OVERHEAD))
    content: io.BufferedIOBase = bounded
    if bounded.peek(2)[:2] == GZIP_MAGIC:
        content = gzip.GzipFile(fileobj=bounded)
    digest, length = hashlib.sha256(), 0
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
            while length <= file.size and (
                chunk := content.read(min(CHUNK, file.size + 1 - length))
            ):
                length += len(chunk)
                digest.update(chunk)
                output.write(chunk)
                progress.update(len(chunk))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IntegrityError(
                f"is a broken .gz file after {length:,} bytes ({error})"
            ) from error
    if length != file.size:
        found = f"{length:,}" if length < file.size else "more than that"
        raise IntegrityError(f"expected {file.size:,} bytes, found {found}")
    if digest.hexdigest() != file.sha256:
        raise IntegrityError(f"expected SHA-256 {file.sha256}, found {digest.hexdigest()}")


class _DeadlineError(Exception):
    """No OSError, so that no retry loop below takes it for a passing fault."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Ends the block after `seconds`, whatever it waits for: a name, a header or a byte.

    Raises:
        NetworkError: the time is over.
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


def main(params: Params) -> None:
    """Downloads the dataset that params.yaml names."""
    dataset = find(params.dataset.name)
    mirror = os.environ.get("DATASET_MIRROR")
    mirrors = [mirror, *dataset.mirrors] if mirror else list(dataset.mirrors)
    download(dataset, mirrors, paths.RAW, paths.DOWNLOAD_METRICS)


if __name__ == "__main__":
    stage.run("download", main)

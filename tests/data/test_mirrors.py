"""The download stage, against every way in which a mirror can misbehave."""

import gzip
import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests

from pipeline.data import mirrors
from pipeline.data.datasets import Dataset, Description, File
from pipeline.data.mirrors import ATTEMPTS, Patience, _Session
from pipeline.download import download
from pipeline.errors import InputError, IntegrityError, NetworkError, PipelineError

CONTENT = np.random.default_rng(0).bytes(1000)
FILE = File(name="file", size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
TINY = Dataset("tiny", Path("tiny"), Description(files=[FILE]))
GZIP = gzip.compress(CONTENT)
PATIENCE = Patience(connect=1, read=0.5, file=1, backoff=0.01)


def fetch(sources: list[str], folder: Path) -> None:
    """Downloads into `folder`/raw."""
    download(
        TINY,
        sources,
        raw=folder / "raw",
        store=folder / "store",
        metrics=folder / "metrics.json",
        patience=PATIENCE,
    )


CaptureFixture = pytest.CaptureFixture[str]
Answer = Callable[[BaseHTTPRequestHandler], None]


def serve(content: bytes, length: int | None = None, status: int = 200) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.end_headers()
        request.wfile.write(content)

    return answer


def redirect(location: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def forever(piece: bytes, pause: float) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        ended = time.monotonic() + 10
        while time.monotonic() < ended:
            request.wfile.write(piece)
            time.sleep(pause)

    return answer


def drip_headers(request: BaseHTTPRequestHandler) -> None:
    for _ in range(50):
        request.wfile.write(b"H")
        time.sleep(0.2)


def hang(_request: BaseHTTPRequestHandler) -> None:
    time.sleep(5)


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.connection.shutdown(socket.SHUT_RDWR)


BOMB = gzip.compress(bytes(10_000_000))

# By path: the answers to the first, the second ... request; the last one to all that follow.
SERVED: dict[str, dict[str, list[Answer]]] = {
    "compressed": {"/file.gz": [serve(GZIP)]},
    "plain": {"/file": [serve(CONTENT)]},
    "500 then 200": {"/file.gz": [serve(b"", status=500), serve(GZIP)]},
    "429 then 200": {"/file.gz": [serve(b"", status=429), serve(GZIP)]},
    "408 then 200": {"/file.gz": [serve(b"", status=408), serve(GZIP)]},
    "hung up, then 200": {"/file.gz": [hang_up, serve(GZIP)]},
    "broken off, then whole": {"/file.gz": [serve(GZIP[:50], len(GZIP)), serve(GZIP)]},
    "redirected": {"/file.gz": [redirect("/other.gz")], "/other.gz": [serve(GZIP)]},
    "recompressed": {"/file.gz": [serve(gzip.compress(CONTENT, 1, mtime=7))]},
    "plain under the name of .gz": {"/file.gz": [serve(CONTENT)]},
}

REFUSED: dict[str, tuple[dict[str, list[Answer]], type[PipelineError], str]] = {
    "nothing there": ({}, NetworkError, "answered 404 Not Found"),
    "500 for ever": ({"/file.gz": [serve(b"", status=500)]}, NetworkError, "answered 500"),
    "403": ({"/file.gz": [serve(b"", status=403)]}, NetworkError, "answered 403 Forbidden"),
    "truncated": (
        {"/file.gz": [serve(GZIP[:50], len(GZIP))]},
        NetworkError,
        f"IncompleteRead(50 bytes read, {len(GZIP) - 50} more expected), {ATTEMPTS} times",
    ),
    "length too short": (
        {"/file.gz": [serve(GZIP, 50)]},
        IntegrityError,
        "broken .gz file",
    ),
    "plain and short": (
        {"/file.gz": [serve(CONTENT[:-1])]},
        IntegrityError,
        "has 999 bytes, expected 1,000",
    ),
    "plain and long": (
        {"/file.gz": [serve(CONTENT + b"0")]},
        IntegrityError,
        "has more bytes, expected 1,000",
    ),
    "wrong bytes": (
        {"/file.gz": [serve(CONTENT[::-1])]},
        IntegrityError,
        f", expected {TINY.files[0].sha256}",
    ),
    "wrong bytes, compressed": (
        {"/file.gz": [serve(gzip.compress(CONTENT[::-1]))]},
        IntegrityError,
        "has SHA-256 ",
    ),
    "a login page": (
        {"/file.gz": [serve(b"<html>")]},
        IntegrityError,
        "has 6 bytes, expected 1,000",
    ),
    "nothing": ({"/file.gz": [serve(b"")]}, IntegrityError, "has 0 bytes, expected 1,000"),
    "damaged .gz": (
        {"/file.gz": [serve(GZIP[:30] + b"\xff" * 10 + GZIP[40:])]},
        IntegrityError,
        "broken .gz file",
    ),
    "bomb": ({"/file.gz": [serve(BOMB)]}, IntegrityError, "has more bytes, expected 1,000"),
    "endless": (
        {"/file.gz": [forever(CONTENT, 0)]},
        IntegrityError,
        "has more bytes, expected 1,000",
    ),
    "endless, compressed to nothing": (
        {"/file.gz": [forever(gzip.compress(b"") * 1000, 0)]},
        IntegrityError,
        "broken .gz file after 0 bytes",
    ),
    "slow drip": ({"/file.gz": [forever(b"0", 0.2)]}, NetworkError, "not done after 1 seconds"),
    "slow headers": ({"/file.gz": [drip_headers]}, NetworkError, "not done after 1 seconds"),
    "hangs": ({"/file.gz": [hang]}, NetworkError, "not done after 1 seconds"),
    "hangs up": ({"/file.gz": [hang_up]}, NetworkError, "Remote end closed connection"),
    "redirect loop": ({"/file.gz": [redirect("/file.gz")]}, NetworkError, "Exceeded 5 redirects"),
    "redirect to a file": (
        {"/file.gz": [redirect("file:///etc/hostname")]},
        NetworkError,
        "No connection adapters were found for 'file:///etc/hostname'",
    ),
}


@contextmanager
def mirror(answers: dict[str, list[Answer]]) -> Iterator[tuple[str, list[str]]]:
    """A mirror on the loopback interface: its URL, and the paths that were asked for."""
    requests_: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            times = requests_.count(self.path)
            requests_.append(self.path)
            planned = answers.get(self.path, [serve(b"", status=404)])
            with suppress(OSError):  # the client has gone
                planned[min(times, len(planned) - 1)](self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests_
    finally:
        server.shutdown()
        server.socket.close()


@pytest.mark.parametrize("case", SERVED)
def test_served(case: str, tmp_path: Path) -> None:
    with mirror(SERVED[case]) as (url, _):
        fetch([url], tmp_path)
    assert (tmp_path / "raw" / "file").read_bytes() == CONTENT
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "dataset": "tiny",
        "bytes": 1000,
        "files": [{"name": "file", "size": 1000, "sha256": TINY.files[0].sha256}],
    }


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    answers, kind, message = REFUSED[case]
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "file").write_text("of another dataset")
    with mirror(answers) as (url, _), pytest.raises(kind) as error:
        fetch([url], tmp_path)
    summary, reason, remedy = str(error.value).splitlines()
    assert summary == "file: no mirror served it"
    assert reason.startswith(f"  {url}: ")
    assert message in reason
    assert "set DATASET_MIRROR" in remedy
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["raw", "raw/file"]
    assert (raw / "file").read_text() == "of another dataset"


def test_retries_are_counted(tmp_path: Path) -> None:
    with (
        mirror({"/file.gz": [serve(b"", status=500)]}) as (url, asked),
        pytest.raises(NetworkError),
    ):
        fetch([url], tmp_path)
    assert asked == ["/file.gz"] * ATTEMPTS


@pytest.mark.parametrize("case", ["nothing there", "wrong bytes"])
def test_the_next_mirror_is_tried_at_once(case: str, tmp_path: Path) -> None:
    with mirror(REFUSED[case][0]) as (bad, asked), mirror(SERVED["compressed"]) as (good, _):
        fetch([bad, good], tmp_path)
    assert len(asked) == len(set(asked))


def test_one_wrong_mirror_makes_it_a_question_of_integrity(tmp_path: Path) -> None:
    with mirror({"/file": [serve(b"wrong")]}) as (wrong, _), pytest.raises(IntegrityError) as error:
        fetch([wrong, "/nowhere"], tmp_path)
    assert f"  {wrong}: has 5 bytes, expected 1,000\n" in str(error.value)
    assert "  /nowhere: no such folder\n" in str(error.value)


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(NetworkError, match="Connection refused"):
            fetch([url], tmp_path)


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_a_folder_is_a_mirror(name: str, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / name).write_bytes(GZIP if name.endswith(".gz") else CONTENT)
    fetch([str(tmp_path / "mirror")], tmp_path)
    assert (tmp_path / "raw" / "file").read_bytes() == CONTENT


def test_what_a_folder_has_instead_is_named(tmp_path: Path) -> None:
    for name in ("b.txt", "a"):
        (tmp_path / name).touch()
    with pytest.raises(NetworkError) as error:
        fetch([str(tmp_path)], tmp_path / "elsewhere")
    assert f"{tmp_path}: has no file.gz and no file, only a, b.txt, elsewhere\n" in str(error.value)


@pytest.mark.parametrize(
    "name", ["t10k-labels.idx1-ubyte", "test-labels-idx1-ubyte", "test-labels.idx1-ubyte.gz"]
)
def test_another_spelling_is_taken_where_the_digest_fits(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(GZIP if name.endswith(".gz") else CONTENT)
    labels = FILE.model_copy(update={"name": "t10k-labels-idx1-ubyte"})
    target = tmp_path / "target"
    assert mirrors.fetch(labels, [str(tmp_path)], target, PATIENCE) == str(tmp_path)
    assert target.read_bytes() == CONTENT
    (tmp_path / name).write_bytes(b"other bytes")
    with pytest.raises(IntegrityError, match=f"{tmp_path}: {name} "):
        mirrors.fetch(labels, [str(tmp_path)], target, PATIENCE)


def test_what_is_here_is_not_fetched_again(tmp_path: Path, capsys: CaptureFixture) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    fetch([str(tmp_path)], tmp_path)
    fetch(["/nowhere"], tmp_path)
    assert "its 1 files are in" in capsys.readouterr().out


def test_what_was_verified_once_is_not_fetched_again(
    tmp_path: Path, capsys: CaptureFixture
) -> None:
    with mirror(SERVED["compressed"]) as (url, _):
        fetch([url], tmp_path)
    shutil.rmtree(tmp_path / "raw")  # as DVC does when the code changes
    fetch(["/nowhere"], tmp_path)
    assert (tmp_path / "raw/file").read_bytes() == CONTENT
    assert f"1,000 bytes from {tmp_path}/store, verified" in capsys.readouterr().out
    (kept,) = (tmp_path / "store").iterdir()
    kept.write_bytes(CONTENT[::-1])  # whatever happened to it
    shutil.rmtree(tmp_path / "raw")
    with mirror(SERVED["compressed"]) as (url, _):
        fetch([url], tmp_path)
    assert kept.read_bytes() == (tmp_path / "raw/file").read_bytes() == CONTENT


def test_credentials_are_not_printed(
    tmp_path: Path, capsys: CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    with mirror(SERVED["plain"]) as (url, _):
        secret = url.replace("http://", "http://user:pass@")
        fetch([secret], tmp_path)
    assert "bytes from http://***@127.0.0.1" in capsys.readouterr().out
    hidden = [url + "?token=abc", "http://user:pass@[/x", "ftp://user:pass@localhost"]
    for source in hidden:
        with pytest.raises(PipelineError) as error:
            fetch([source], tmp_path / "elsewhere")
        assert "***" in str(error.value)
        assert "pass" not in str(error.value)
        assert "abc" not in str(error.value)
    assert caplog.messages == []


@pytest.mark.parametrize("url", ["ftp://localhost/", "file:///etc", "s3://bucket"])
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a folder, or an http or https URL"):
        fetch([url], tmp_path)


@pytest.mark.parametrize(
    ("source", "location", "allowed"),
    [
        ("https://localhost/a", "http://localhost/b", False),
        ("https://localhost/a", "//localhost/b", True),
        ("https://localhost/a", "/b", True),
        ("http://localhost/a", "https://localhost/b", True),
        ("https://localhost/a", "ftp://localhost/b", False),
    ],
)
def test_https_stays_https(source: str, location: str, allowed: bool) -> None:
    response = requests.Response()
    response.status_code, response.url = 302, source
    response.headers["Location"] = location
    with _Session() as session:
        if allowed:
            assert session.get_redirect_target(response) == location
        else:
            with pytest.raises(requests.exceptions.InvalidSchema, match="redirects from https to"):
                session.get_redirect_target(response)

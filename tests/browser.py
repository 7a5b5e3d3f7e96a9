"""Headless Chromium without a network."""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OF_THE_BROWSER = re.compile(r"\b(google|googleapis)\.com\b")  # it looks for its own updates


class Browser:
    """Opens pages, and keeps every request that they make."""

    def __init__(self, folder: Path, port: int, requests: list[str]) -> None:
        self.folder, self.port, self.requests = folder, port, requests

    def open(self, page: str) -> tuple[str, list[str]]:
        """What the page has become, and what it said on the console."""
        path = self.folder / "page.html"
        path.write_text(page)
        return self.open_file(path)

    def open_file(self, path: Path) -> tuple[str, list[str]]:
        """The same of a page in a file."""
        switches = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
            "--disable-background-networking --disable-component-update --enable-logging=stderr "
            f"--virtual-time-budget=3000 --proxy-server=http://127.0.0.1:{self.port} "
            f"--proxy-bypass-list=<-loopback> --user-data-dir={self.folder / 'profile'} --dump-dom"
        )
        done = subprocess.run(
            ("chromium", *switches.split(), path.as_uri()),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@contextmanager
def offline_browser(folder: Path) -> Iterator[Browser]:
    """A browser whose every request is answered with 404.

    Args:
        folder: an empty one of its own.
    """
    requests: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if not OF_THE_BROWSER.search(self.path):
                requests.append(self.path)
            self.send_error(404)

        do_GET = do_POST = do_CONNECT = answer  # noqa: N815, named by the protocol

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Browser(folder, server.server_port, requests)
        server.shutdown()
        thread.join()

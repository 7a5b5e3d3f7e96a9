"""The report as a browser shows it."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Workspace

REPORT = ("python", "-m", "pipeline.report")
OF_THE_BROWSER = re.compile(r"\b(google|googleapis)\.com\b")  # it looks for its own updates
WIDTHS = (360, 1280)  # pixels of a phone and of a desk
MEASURE = """<!doctype html><script>
const page = %s;
for (const width of %s) {
  const frame = document.createElement("iframe");
  frame.style.width = width + "px";
  frame.onload = () => {
    const found = frame.contentDocument.documentElement.scrollWidth;
    document.body.append(`[${width} shows ${found}]`);
  };
  frame.srcdoc = page;
  document.body ? document.body.append(frame) : document.documentElement.append(frame);
}
</script><body></body>"""


class Browser:
    """Headless Chromium, and every request of a page."""

    def __init__(self, folder: Path, port: int, requests: list[str]) -> None:
        self.folder, self.port, self.requests = folder, port, requests

    def open(self, page: str) -> tuple[str, list[str]]:
        """What the page has become, and what it said on the console."""
        path = self.folder / "page.html"
        path.write_text(page)
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


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if not shutil.which("chromium"):
        pytest.skip("chromium is not installed")
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
        (tmp_path / "browser").mkdir()
        yield Browser(tmp_path / "browser", server.server_port, requests)
        server.shutdown()
        thread.join()


def test_the_browser_would_tell(browser: Browser) -> None:
    page = '<img src="http://example.test/picture"><script>console.error("wrong")</script>'
    _, console = browser.open(page)
    assert any("wrong" in line for line in console)
    assert any("example.test" in request for request in browser.requests)


@pytest.fixture(scope="module")
def compared(reproduced: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two commits whose models differ in their learning rate. Not to be changed: copy it."""
    workspace = reproduced.copy(tmp_path_factory.mktemp("report") / "repository")
    workspace.set("gate.floor", "0.5")
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Baseline")
    workspace.set("train.learning_rate", "0.01")
    workspace.repro()
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Changed")
    return workspace


def test_a_page_of_its_own(compared: Workspace, browser: Browser) -> None:
    compared.run(*REPORT)
    page = (compared.root / "report.html").read_text()
    shown, console = browser.open(page)
    assert (console, browser.requests) == ([], [])
    assert len(page) < 2_000_000
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []

    verdict = compared.run("python", "-m", "pipeline.gate", check=False).stdout.splitlines()
    assert verdict[0].removeprefix("gate: ") in shown
    assert "compared with HEAD~1" in page
    assert re.search(r"train.learning_rate</code></td><td>0.001</td><td>0.01</td>", page)
    assert "baseline, validation" in shown
    text = (compared.root / "metrics/predictions.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in text]
    surest = max((row for row in rows if row[1] != row[2]), key=lambda row: float(row[3]))
    assert 'src="data:image/png;base64,' in page
    assert f'alt="test image {surest[0]}"' in page
    newly = verdict[-1].removeprefix("newly wrong: ").split(",")[0]
    assert not newly.isdecimal() or f"image {newly}<" in page
    metrics = json.loads((compared.root / "metrics/evaluate.json").read_text())
    assert f"<td>{metrics['errors']}</td>" in page

    compared.run(*REPORT, "--output", "again.html")
    assert (compared.root / "again.html").read_text() == page

    measured, _ = browser.open(MEASURE % (json.dumps(page), list(WIDTHS)))
    for width in WIDTHS:
        found = re.search(rf"\[{width} shows (\d+)\]", measured)
        assert found
        assert int(found[1]) <= width


def test_a_clone_without_data(compared: Workspace, tmp_path: Path) -> None:
    clone = compared.copy(tmp_path / "clone")
    shutil.rmtree(clone.root / "data/processed")
    clone.run(*REPORT)
    page = (clone.root / "report.html").read_text()
    assert "<img" not in page
    assert "The pictures are not in this clone: dvc pull, or dvc repro." in page


def test_what_cannot_be_compared_is_still_shown(workspace: Workspace) -> None:
    workspace.run(*REPORT, "--baseline", "nothing")
    page = (workspace.root / "report.html").read_text()
    assert "CANNOT TELL" in page
    assert "git knows no such commit" in page
    assert "Most confident mistakes" in page


def test_nothing_to_report(workspace: Workspace) -> None:
    (workspace.root / "metrics/predictions.csv").unlink()
    result = workspace.run(*REPORT, check=False)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "predictions.csv: cannot be read" in result.stderr
    assert not (workspace.root / "report.html").exists()


def test_names_are_text(workspace: Workspace) -> None:
    text = workspace.root / "params.yaml"
    text.write_text(text.read_text().replace("name: digits", 'name: "<b>digits"', 1))
    workspace.run(*REPORT)
    page = (workspace.root / "report.html").read_text()
    assert "<b>digits" not in page.replace("<b>digits</b>", "")
    assert "&lt;b&gt;digits" in page

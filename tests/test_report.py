"""The report as a browser shows it."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline import report
from tests.support import Start, Workspace

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
    """A second commit, whose model has another learning rate. Not to be changed: copy it."""
    workspace = reproduced.copy(tmp_path_factory.mktemp("report") / "repository")
    workspace.set("train.learning_rate", 0.02)
    assert workspace.repro() == ["train", "evaluate"]
    workspace.commit("Changed")
    return workspace


def test_a_page_of_its_own(
    compared: Workspace, browser: Browser, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(compared.root)
    assert start("pipeline.report") == (0, "report.html\n", "")
    page = Path("report.html").read_text()
    shown, console = browser.open(page)
    assert (console, browser.requests) == ([], [])
    assert len(page) < 2_000_000
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []
    assert "Content-Security-Policy\" content=\"default-src 'none'" in page

    verdict = start("pipeline.gate")[1].splitlines()
    assert verdict[0].removeprefix("gate: ") in shown
    assert "compared with baseline HEAD~1" in page
    assert re.search(r"train.learning_rate</code></td><td>0.01</td><td>0.02</td>", page)
    assert "baseline, validation" in shown
    text = Path("metrics/predictions.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in text]
    surest = max((row for row in rows if row[1] != row[2]), key=lambda row: float(row[3]))
    assert 'src="data:image/png;base64,' in page
    assert f'alt="test image {surest[0]}"' in page
    newly = verdict[-1].removeprefix("newly wrong: ").split(",")[0]
    assert not newly.isdecimal() or f"image {newly}<" in page
    metrics = json.loads(Path("metrics/evaluate.json").read_text())
    assert f"<td>{metrics['errors']}</td>" in page

    start("pipeline.report", "--output", "again.html")
    assert Path("again.html").read_text() == page

    measured, _ = browser.open(MEASURE % (json.dumps(page), list(WIDTHS)))
    for width in WIDTHS:
        found = re.search(rf"\[{width} shows (\d+)\]", measured)
        assert found
        assert int(found[1]) <= width


@pytest.fixture
def page(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], str]:
    """Makes a report in a reproduced copy, which is the working directory."""
    monkeypatch.chdir(workspace.root)
    return report.report


Page = Callable[[str | None], str]


def test_a_clone_without_data(page: Page) -> None:
    shutil.rmtree("data/processed")
    made = page("HEAD")
    assert "<img" not in made
    assert "The images of these results are not in this folder: dvc pull or dvc repro." in made


def test_images_that_are_not_those_of_the_results(page: Page) -> None:
    labels = np.load("data/processed/test/labels.npy")
    np.save("data/processed/test/labels.npy", labels[::-1])
    assert "<img" not in page("HEAD")


def test_what_cannot_be_compared_is_still_shown(page: Page) -> None:
    made = page("nothing")
    assert "CANNOT TELL" in made
    assert "git knows no such commit" in made
    assert "Most confident mistakes" in made


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model_md5": 3}', "{"])
def test_a_damaged_provenance_is_left_out(content: str, page: Page) -> None:
    Path("metrics/provenance.json").write_text(content)
    made = page("HEAD")
    assert "<td>test images, as the model receives them</td>" in made
    assert "<td>processor</td>" not in made


def test_an_edited_metric_is_computed_again(page: Page) -> None:
    path = Path("metrics/evaluate.json")
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"errors": 12_345}))
    made = page("HEAD")
    assert "12,345" not in made
    assert f"<td>{metrics['errors']}</td>" in made


def test_names_are_text(page: Page) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("name: digits", 'name: "<b>digits"', 1))
    made = page("HEAD")
    assert "<b>digits" not in made.replace("<b>digits</b>", "")
    assert "&lt;b&gt;digits" in made


def test_nothing_to_report(page: Page, start: Start) -> None:
    del page
    Path("metrics/predictions.csv").unlink()
    code, _, errors = start("pipeline.report")
    assert (code, errors.count("\n")) == (2, 1)
    assert "predictions.csv: cannot be read" in errors
    assert not Path("report.html").exists()


def test_a_page_that_cannot_be_written(page: Page, start: Start) -> None:
    del page
    code, _, errors = start("pipeline.report", "--output", "params.yaml/report.html")
    assert (code, errors.count("\n")) == (6, 1)
    assert errors.startswith("report: params.yaml")

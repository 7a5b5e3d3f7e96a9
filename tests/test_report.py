"""The report as a browser shows it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline import figures, paths, report
from pipeline.data.split import Split
from pipeline.gate import freshness
from pipeline.records import history_bytes
from tests.browser import Browser
from tests.gate.repository import Repository
from tests.support import Start, Workspace

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


def test_the_browser_would_tell(browser: Browser) -> None:
    page = '<img src="http://example.test/picture"><script>console.error("wrong")</script>'
    _, console = browser.open(page)
    assert any("wrong" in line for line in console)
    assert any("example.test" in request for request in browser.requests)


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
    newly = re.fullmatch(r"newly wrong: test images? (\d+)\b.*", verdict[-1])
    assert not newly or f"image {newly[1]}<" in page
    metrics = json.loads(Path("metrics/evaluate.json").read_text())
    assert f"<td>{metrics['errors']}</td>" in page

    start("pipeline.report", "--output", "again.html")
    assert Path("again.html").read_text() == page

    measured, _ = browser.open(MEASURE % (json.dumps(page), list(WIDTHS)))
    for width in WIDTHS:
        found = re.search(rf"\[{width} shows (\d+)\]", measured)
        assert found
        assert int(found[1]) <= width


LABELS = np.arange(1_000) % 200
NAMES = tuple(f"a species of bird, number {number}" for number in range(200))


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A worse model for colour images of 200 classes beside its baseline, the working directory."""
    repository = Repository.create(tmp_path / "many")
    repository.write(range(5), LABELS, NAMES)
    history = {name: [0.5, 0.7] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    (repository.root / paths.HISTORY).write_bytes(history_bytes(history))
    (repository.root / paths.EVALUATE_METRICS).write_text("{}")
    repository.commit("Better")
    repository.write(range(0, 1_000, 4), LABELS, NAMES)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 100, 150, 3)).astype(np.uint8)
    test = Split(pixels[LABELS], LABELS.astype(np.uint8), NAMES, 255)
    (repository.root / paths.PROCESSED).mkdir(parents=True)
    test.save(repository.root / paths.TEST)
    monkeypatch.setattr(freshness, "check_status", lambda: None)  # dvc.lock has a made-up digest
    monkeypatch.chdir(repository.root)
    return repository


def test_a_page_about_200_classes_in_colour(
    many: Repository, browser: Browser, start: Start
) -> None:
    del many
    with figures.style(report.INK):
        page = report.report(None)
    shown, console = browser.open(page)
    assert (console, browser.requests) == ([], [])
    assert "REJECT, compared with baseline HEAD" in shown
    assert len(page) < 6_000_000  # of which 96 pictures in colour are most
    assert "By class: the 30 of 200 that lost the most" in page
    assert "Confusion matrix: the 30 of 200 classes with the most mistakes" in page
    assert page.count("<tr>") < 100
    code, printed, _ = start("pipeline.gate", "--markdown", "gate.md")
    assert code == 1
    assert len(printed.splitlines()) < 20
    written = Path("gate.md").read_text()
    assert "<summary>By class: the 30 of 200 that lost the most</summary>" in written
    assert "<summary>Newly wrong: 248 images, the first 100</summary>" in written
    assert len(written) < 20_000


@pytest.mark.parametrize(
    ("shape", "expected"), [((96, 50), (96, 50)), ((97, 200, 3), (32, 66, 3)), ((2, 960), (1, 96))]
)
def test_a_large_image_is_shown_small(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert report.reduced(np.full(shape, 7, np.uint8)).shape == expected


def test_a_small_pixel_is_the_mean_of_a_square() -> None:
    board = np.tile(np.array([[0, 200], [200, 0]], np.uint8), (75, 75))
    np.testing.assert_array_equal(report.reduced(board), np.full((75, 75), 100))


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

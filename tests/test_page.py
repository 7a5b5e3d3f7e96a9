"""The page to draw on: what it is made of, and used in a browser as a person would."""

import base64
import json
import re
import shutil
from contextlib import chdir
from io import BytesIO
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw

from pipeline import page, paths
from pipeline.artifacts import keras_bytes
from pipeline.data.split import Split
from pipeline.params import Params
from pipeline.records import read_predictions, read_yaml
from pipeline.train import train
from pipeline.training import backend
from pipeline.training.models import mlp
from tests import node
from tests.browser import Browser, Point, Tab
from tests.data.makers import mnist_sample
from tests.data.support import encoded
from tests.support import Start, Workspace, suite_params

DIGITS = {  # the corners of their strokes: percent of the paper from the left and from the top
    "0": "52,17 38,25 31,45 33,66 43,81 57,82 68,70 71,48 66,28 52,17",
    "1": "54,16 51,50 48,84",
    "2": "30,32 36,22 50,17 63,22 68,33 62,47 50,60 36,73 29,82 45,82 60,81 74,82",
    "3": "32,24 45,17 60,20 64,32 57,43 44,48 58,51 68,62 64,76 50,84 33,79",
    "7": "28,22 45,21 70,21 62,40 52,60 45,83",
}
TEN = tuple(str(digit) for digit in range(10))
ABOUT: dict[str, object] = {"class_names": TEN, "largest_pixel": 255, "prepare": "mnist"}


def stroke(digit: str) -> list[Point]:
    """The corners of a digit, from (0, 0) to (1, 1)."""
    pairs = (corner.split(",") for corner in DIGITS[digit].split())
    return [(int(x) / 100, int(y) / 100) for x, y in pairs]


@pytest.fixture(autouse=True, scope="session")
def tensorflow() -> None:
    """Started as in every program, before a test builds a network."""
    backend.start()


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of MNIST's sample, its page and the test images. To be copied."""
    arrays = mnist_sample()
    splits = {name: Split(*arrays[name], TEN, 255, "mnist") for name in ("train", "test")}
    params: Any = read_yaml(suite_params().encode(), "params.yaml")
    params["train"] |= {"epochs": 4, "batch_size": 100, "learning_rate": 0.005}
    checked = Params.model_validate(params)
    found = train(
        checked.model,
        checked.train,
        checked.augment,
        training=splits["train"],
        validation=splits["test"],
    )
    folder = tmp_path_factory.mktemp("trained")
    (folder / paths.MODEL).parent.mkdir()
    (folder / paths.MODEL).write_bytes(keras_bytes(found.network, found.about))
    (folder / paths.PROCESSED).mkdir(parents=True)
    splits["test"].save(folder / paths.TEST)
    with chdir(folder):
        paths.PAGE.write_text(page.page(paths.MODEL)[0])
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to change, the working directory."""
    folder = tmp_path / "here"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    return folder


def content(written: str) -> dict[str, Any]:
    """The data on a page."""
    (found,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', written)
    return dict(json.loads(found))


def untrained(names: list[str]) -> bytes:
    """A model of `names` that knows nothing."""
    keras.utils.set_random_seed(0)
    network = mlp((28, 28), len(names), 1 / 255, hidden_units=[], dropout=0.0)
    return keras_bytes(network, {**ABOUT, "class_names": names})


def opened(tab: Tab) -> dict[str, str]:
    """What the page says now."""
    tab.frame()
    return {name: tab.text(f"#{name}") for name in ("answer", "verdict", "bars")}


def test_five_digits_by_mouse(browser: Browser, trained: Path) -> None:
    with browser.use(trained / paths.PAGE) as tab:
        for digit in DIGITS:
            tab.draw("#paper", [stroke(digit)])
            said = opened(tab)
            assert said["answer"] == digit
            assert float(re.findall(r"[\d.]+", said["verdict"])[0]) > 50
            assert tab.text("#bars .first").split()[0] == digit
            tab.click("#clear")
            assert opened(tab) == {
                "answer": "",
                "verdict": "nothing drawn yet",
                "bars": "\n".join(TEN),
            }
        tab.click("#undo")
        assert opened(tab)["answer"] == "7"
        tab.wait("document.querySelector('#spoken').textContent.startsWith('7 ')")
        tab.click("#undo")
        assert opened(tab)["answer"] == ""
        tab.draw("#paper", [[(0.3, 0.2), (0.28, 0.8)], [(0.7, 0.2), (0.68, 0.8)]])
        assert opened(tab)["verdict"] == "shows 2 digits, expected one"
        assert tab.console() == []
        assert tab.requests() == [(trained / paths.PAGE).as_uri()]
    assert browser.requests == []


def test_by_keyboard_alone(browser: Browser, trained: Path) -> None:
    with browser.use(trained / paths.PAGE) as tab:
        tab.key("Tab")
        assert tab.evaluate("document.activeElement.id") == "paper"
        for key in (*["ArrowUp"] * 9, " ", *["ArrowDown"] * 18, " ", "ArrowLeft"):
            tab.key(key)
        assert opened(tab)["answer"] == "1"
        tab.key("Delete")
        assert opened(tab)["answer"] == ""
        tab.key("z", control=True)
        assert opened(tab)["answer"] == "1"
        for _ in range(4):
            tab.key("Tab")
        assert tab.evaluate("document.activeElement.parentElement.parentElement.id") == "examples"
        assert opened(tab)["answer"] == "1"
        tab.key("Enter")
        assert opened(tab)["verdict"] == "trace it"
        assert tab.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
        assert tab.console() == []


def test_by_finger_on_a_phone(browser: Browser, trained: Path) -> None:
    with browser.use(trained / paths.PAGE, width=360, height=740, touch=True) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        tab.touch("#paper", stroke("7"))
        assert opened(tab)["answer"] == "7"
        assert tab.evaluate("scrollY") == 0
        left, top, width, height = tab.place("#bars")
        assert left >= 0
        assert left + width <= 360
        assert top + height <= 740  # all of it is seen without scrolling
        assert tab.console() == []


def photo(digit: str, **options: object) -> bytes:
    """A picture of a digit, dark on light, wider than high."""
    image = Image.new("L", (600, 400), 235)
    corners = [(100 + 400 * x, 400 * y) for x, y in stroke(digit)]
    ImageDraw.Draw(image).line(corners, 30, 24, "curve")
    return encoded(image, "PNG", **options)


@pytest.mark.usefixtures("here")
def test_photos(browser: Browser) -> None:
    Path("two.png").write_bytes(photo("2"))
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6  # to be turned by 90 degrees to the right
    image = Image.open(BytesIO(photo("3"))).transpose(Image.Transpose.ROTATE_90)
    Path("turned.jpg").write_bytes(encoded(image, "JPEG", exif=turned))
    Path("notes.txt").write_text("no picture")
    with browser.use(paths.PAGE.resolve()) as tab:
        tab.choose("#file", Path("two.png").resolve())
        tab.wait("document.querySelector('#answer').textContent === '2'")
        tab.choose("#file", Path("turned.jpg").resolve())
        tab.wait("document.querySelector('#answer').textContent === '3'")
        tab.choose("#file", Path("notes.txt").resolve())
        tab.wait("document.querySelector('#verdict').textContent.startsWith('notes.txt: this')")
        for event, holder in (("drop", "dataTransfer"), ("paste", "clipboardData")):
            tab.click("#clear")
            tab.wait("document.querySelector('#answer').textContent === ''")
            tab.evaluate(HAND_OVER % (list(photo("7")), event, holder))
            tab.wait("document.querySelector('#answer').textContent === '7'")
        tab.draw("#paper", [stroke("1")])  # in place of the photo
        assert opened(tab)["answer"] == "1"
        tab.click("#undo")
        assert opened(tab)["answer"] == "7"
        assert tab.console() == []


HAND_OVER = """{
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(%s)], "photo.png", { type: "image/png" }));
  const event = new Event("%s", { bubbles: true });
  event.%s = transfer;
  document.body.dispatchEvent(event);
}"""


HOSTILE = [
    "</script><script>console.error(1)</script>",
    '"><img src=x onerror=console.error(2)>',
    "<!--<script>",
    "{{ 7 * 7 }}",
    "\u2028'&amp;\\",
    "a" * 300,
]


def test_names_are_text(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(untrained(HOSTILE))
    written, _ = page.page(tmp_path / "model.keras")
    assert content(written)["names"] == HOSTILE
    (tmp_path / "page.html").write_text(written)
    with browser.use(tmp_path / "page.html", width=360, height=740) as tab:
        names = "[...document.querySelectorAll('.name')].map((name) => name.textContent)"
        assert tab.evaluate(names) == HOSTILE
        tab.draw("#paper", [stroke("2")])
        assert opened(tab)["answer"] in HOSTILE
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        assert tab.console() == []
        assert len(tab.requests()) == 1


def test_more_classes_than_bars(browser: Browser, tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(47)]
    (tmp_path / "model.keras").write_bytes(untrained(names))
    written, _ = page.page(tmp_path / "model.keras")
    assert "The model knows 47 classes; these are the most probable." in written
    (tmp_path / "page.html").write_text(written)
    with browser.use(tmp_path / "page.html") as tab:
        tab.draw("#paper", [stroke("2")])
        rows = [row.split("\n") for row in tab.text("#bars").replace("%\n", "%\0").split("\0")]
        assert len(rows) == 10
        shares = [float(share.rstrip("%")) for _, share in rows]
        assert shares == sorted(shares, reverse=True)
        assert rows[0][0] == tab.text("#answer")
        assert "unsure" in tab.text("#verdict")


def test_scripts_have_no_name_in_common() -> None:
    scripts = [(page.WEB / name).read_text() for name in page.SCRIPTS]
    names = re.findall(
        r"^(?:async )?(?:function|const|let) (\w+)", "\n".join(scripts), re.MULTILINE
    )
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))


def test_the_same_model_makes_the_same_bytes(here: Path, start: Start) -> None:
    code, output, errors = start(
        "pipeline.page", "--model", str(here / paths.MODEL), "--out", "again.html"
    )
    assert (code, errors) == (0, "")
    assert re.fullmatch(r"again\.html: 0\.\d\d MB, weights as float(16|32): .*\n", output)
    assert Path("again.html").read_bytes() == paths.PAGE.read_bytes()


def test_examples_are_the_most_confident_mistakes(trained: Path) -> None:
    split = Split.load(trained / paths.TEST)
    written = (trained / paths.PAGE).read_text()
    (accuracy,) = re.findall(r"it gets ([\d.]+)% of 2,000 test images right", written)
    assert 90 < float(accuracy) < 100
    found = re.findall(r"<b>(.)</b>, taken for <b>(.)</b></span>.*?sure<br>image (\d+)<", written)
    assert len(found) == page.EXAMPLES
    for (actual, predicted, index), pixels in zip(found, content(written)["examples"], strict=True):
        assert split.labels[int(index)] == int(actual) != int(predicted)
        assert base64.b64decode(pixels) == split.images[int(index)].tobytes()


@pytest.mark.parametrize("case", ["no images", "other classes", "other pixels"])
def test_images_that_do_not_belong_to_the_model(case: str, here: Path) -> None:
    shutil.rmtree(paths.TEST)
    if case == "other classes":
        Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.uint8), ("a", "b"), 255).save(
            here / paths.TEST
        )
    if case == "other pixels":
        Split(np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.uint8), TEN, 16).save(
            here / paths.TEST
        )
    written, numbers = page.page(paths.MODEL)
    assert numbers == page.Numbers("float32", "there are no test images here to try float16 on")
    assert "Mistakes to trace" not in written
    assert "test images right" not in written
    assert content(written)["examples"] == []


@pytest.mark.parametrize(("factor", "reason"), [(1e6, "some are out of the range of float16")])
def test_weights_that_float16_cannot_hold(factor: float, reason: str, here: Path) -> None:
    network = keras.models.load_model(paths.MODEL, compile=False)
    network.set_weights([weight * factor for weight in network.get_weights()])
    (here / "huge.keras").write_bytes(keras_bytes(network, ABOUT))
    assert page.page(Path("huge.keras"))[1] == page.Numbers("float32", reason)


REFUSED: dict[str, tuple[tuple[int, ...], dict[str, object], str]] = {
    "in colour": ((28, 28, 3), {}, "takes images of (28, 28, 3), expected grey ones"),
    "prepared otherwise": (
        (28, 28),
        {"prepare": "pad"},
        "is no model for handwritten digits, as its pictures are prepared by 'pad'",
    ),
    "of an earlier version": ((28, 28), {"prepare": None}, "does not say its classes, or how"),
    "without names": ((28, 28), {"class_names": None}, "does not say its classes, or how"),
    "no model": ((), {}, "model.keras: is no Keras model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path, start: Start) -> None:
    shape, changed, message = REFUSED[case]
    about = {key: value for key, value in (ABOUT | changed).items() if value is not None}
    network = mlp(shape, 10, 1 / 255, hidden_units=[], dropout=0.0)
    path = tmp_path / "model.keras"
    path.write_bytes(keras_bytes(network, about) if shape else b"PK")
    target = tmp_path / "page.html"
    code, output, errors = start("pipeline.page", "--model", str(path), "--out", str(target))
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert message in errors
    assert not target.exists()


@pytest.mark.long("pipeline/web", "pipeline/page.py", "pipeline/training")
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_all_of_mnist_gets_the_committed_answers(
    architecture: str, mnist: Workspace, tmp_path: Path
) -> None:
    mnist.set("model.name", architecture)
    mnist.set("model.cnn.filters", [8, 24, 44])
    mnist.set("model.cnn.hidden_units", [])
    mnist.set("train.epochs", 1)
    mnist.repro()
    mnist.run("python", "-m", "pipeline.page")
    described = content((mnist.root / paths.PAGE).read_text())["network"]
    images = Split.load(mnist.root / paths.TEST).images
    found = node.logits(described, images, tmp_path)
    committed = read_predictions(
        (mnist.root / paths.PREDICTIONS).read_bytes(), str(paths.PREDICTIONS), TEN
    )
    assert len(found) == 10_000
    np.testing.assert_array_equal(found.argmax(axis=-1), committed.predicted)

"""The model put to use on pictures and on tables."""

import csv
import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts import keras_bytes
from pipeline.predict import HEADER
from tests.data.makers import digits, table
from tests.data.support import png
from tests.support import Start, Workspace


@pytest.fixture
def here(reproduced: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A repository with a model; nothing here changes it."""
    monkeypatch.chdir(reproduced.root)
    return reproduced


def committed(workspace: Workspace) -> list[list[str]]:
    """The class and the probability of each test image in predictions.csv."""
    with (workspace.root / "metrics/predictions.csv").open() as file:
        return [row[2:] for row in list(csv.reader(file))[1:]]


@pytest.mark.parametrize("labelled", [True, False])
def test_a_table_gets_the_committed_answers(
    labelled: bool, here: Workspace, tmp_path: Path, start: Start
) -> None:
    images, labels = digits()["test"]
    table(tmp_path / "test.csv", images, labels if labelled else None)
    target = tmp_path / "answers.csv"
    code, output, _ = start("pipeline.predict", str(tmp_path / "test.csv"), "--csv", str(target))
    assert (code, output) == (0, f"{target}: 360 classified\n")
    header, *rows = csv.reader(target.read_text().splitlines())
    assert tuple(header) == HEADER
    assert [row[0] for row in rows] == [str(number) for number in range(1, 361)]
    assert [row[1:3] for row in rows] == committed(here)
    for row in rows:
        assert float(row[2]) >= float(row[4]) >= float(row[6])
        assert len({row[1], row[3], row[5]}) == 3


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two test images, one of them enlarged in a folder, and a file that is no picture."""
    images = digits()["test"][0]
    folder = tmp_path / "pictures"
    (folder / "a").mkdir(parents=True)
    Image.fromarray(images[0]).save(folder / "a/0.png")
    Image.fromarray(images[1]).resize((80, 80), Image.Resampling.NEAREST).save(folder / "b.png")
    (folder / "c.png").write_bytes(b"no picture")
    return folder


def test_pictures_of_any_size_beside_broken_ones(
    here: Workspace, pictures: Path, start: Start
) -> None:
    target = pictures.parent / "answers.csv"
    code, _, told = start(
        "pipeline.predict", str(pictures), "--header", "File,Digit", "--csv", str(target)
    )
    assert code == 2
    assert "c.png: is none of PNG" in told
    first, second = committed(here)[:2]
    assert target.read_text() == f"File,Digit\na/0.png,{first[0]}\nb.png,{second[0]}\n"


@pytest.mark.usefixtures("here")
def test_a_table_for_a_terminal(pictures: Path, start: Start) -> None:
    code, output, told = start("pipeline.predict", str(pictures / "b.png"), "--confidence", "1")
    assert code == 0
    header, row = output.splitlines()
    assert header.split() == ["picture", "class", "or"]
    assert row.startswith(f"{pictures}/b.png  ")
    assert row.endswith("   unsure")
    assert "unsure, below 100%: 1 of 1" in told


def test_json_says_everything(here: Workspace, pictures: Path, start: Start) -> None:
    target = pictures.parent / "answers.json"
    assert start("pipeline.predict", str(pictures), "--json", str(target))[0] == 2
    said = json.loads(target.read_bytes())
    assert said["classes"] == [*"0123456789"]
    assert said["unread"] == ["c.png"]
    first, _second = said["images"]
    assert first["image"] == "a/0.png"
    assert [first["class"], f"{first['probability']:.6f}"] == committed(here)[0]
    assert first["unsure"] == (first["probability"] < said["confidence"])
    assert len(first["runners_up"]) == 2


@pytest.mark.usefixtures("here")
def test_several_files_patterns_and_standard_input(
    pictures: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stdin:
        buffer = BytesIO((pictures / "b.png").read_bytes())

    monkeypatch.setattr("sys.stdin", Stdin)
    code, output, _ = start("pipeline.predict", "-", f"{pictures}/*.png", str(pictures / "a"))
    assert code == 2  # of c.png
    names = [line.split("  ")[0] for line in output.splitlines()[1:]]
    assert names == ["standard input", f"{pictures}/b.png", f"{pictures}/a/0.png"]
    answers = [line.split("  ", 1)[1].split() for line in output.splitlines()[1:]]
    assert answers[0] == answers[1]  # the same picture


def test_the_model_of_an_earlier_commit(
    workspace: Workspace, pictures: Path, monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.chdir(workspace.root)
    workspace.commit("results")
    arguments = ("pipeline.predict", str(pictures / "b.png"))
    before = start(*arguments)[1]
    Path("models/model.keras").unlink()
    assert start(*arguments, "--rev", "HEAD")[:2] == (0, before)
    code, _, told = start(*arguments, "--rev", "nowhere")
    assert code == 2
    assert "nowhere" in told
    assert told.count("\n") == 1


@pytest.mark.usefixtures("here")
def test_what_came_in_what_the_model_saw_and_what_it_said(pictures: Path, start: Start) -> None:
    shown = []
    for name in ("one.png", "again.png"):
        target = pictures.parent / name
        code, output, _ = start("pipeline.predict", str(pictures / "a"), "--show", str(target))
        assert (code, output.splitlines()[0]) == (0, f"{target}: 1 classified")
        shown.append(target.read_bytes())
    assert shown[0] == shown[1]
    with Image.open(pictures.parent / "one.png") as drawn:
        assert drawn.width > 300


def handwriting(folder: Path) -> Path:
    """An untrained model for pictures of digits that are brought into MNIST's form."""
    import keras

    network = keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    about = {"class_names": [*"0123456789"], "largest_pixel": 255, "prepare": "mnist"}
    path = folder / "handwriting.keras"
    path.write_bytes(keras_bytes(network, about))
    return path


@pytest.mark.usefixtures("here")
def test_several_digits_in_one_photo(tmp_path: Path, start: Start) -> None:
    photo = np.full((120, 300), 220, np.uint8)
    for left in (40, 140, 240):
        photo[20:100, left : left + 10] = 30
    Image.fromarray(photo).save(tmp_path / "three.png")
    Image.fromarray(photo[:, :120]).save(tmp_path / "one.png")
    Image.fromarray(photo[:, :30]).save(tmp_path / "none.png")
    model = str(handwriting(tmp_path))
    arguments = ("pipeline.predict", str(tmp_path / "*.png"), "--model", model)
    code, output, told = start(*arguments)
    assert code == 2
    assert len(output.splitlines()) == 2  # the header and one.png
    assert "three.png: shows 3 digits, expected one" in told
    assert "\n--split reads several digits" in told
    assert "none.png: shows no digit, expected one" in told
    code, output, told = start(*arguments, "--split")
    assert code == 2
    names = [Path(line.split()[0]).name for line in output.splitlines()[1:]]
    assert names == ["one.png#1", "three.png#1", "three.png#2", "three.png#3"]
    assert "none.png: shows no digit, expected some" in told


def test_a_model_of_an_earlier_version(here: Workspace, tmp_path: Path, start: Start) -> None:
    old = tmp_path / "old.keras"
    with (
        zipfile.ZipFile(here.root / "models/model.keras") as source,
        zipfile.ZipFile(old, "w") as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == "metadata.json":
                about = json.loads(content)
                del about["prepare"]
                content = json.dumps(about).encode()
            target.writestr(name, content)
    code, _, told = start("pipeline.predict", "x.png", "--model", str(old))
    assert code == 2
    assert "does not say its classes, or how pictures are prepared for it" in told
    assert told.count("\n") == 1


REFUSED = {
    "nothing there": ("nowhere", "nowhere: no such file or folder"),
    "no picture": (".", "found no picture, expected some"),
    "other files": ("others", "others: found 1 .txt, but no picture, expected some"),
    "another size": ("wide.csv", "wide.csv: found 6 columns of pixels, which make no square image"),
    "header": (("one.png", "--header", "a"), "--header: found 'a', expected 2 to 7 names"),
    "broken": ("broken.png", "broken.png: is none of PNG"),
    "all broken": (("broken.png", "broken.png"), "found no picture that can be read"),
    "pattern": ("*.gif", "*.gif: no file matches"),
    "a file of the user's": (
        ("one.png", "--csv", "one.png"),
        "'one.png', expected a name with .csv",
    ),
    "nowhere to write": (("one.png", "--json", "no/a.json"), "argument --json: no: no such folder"),
    "table beside": (("wide.csv", "one.png"), "wide.csv: is a table, which is classified alone"),
    "split": (("one.png", "--split"), "--split: finds digits, but the model's pictures are"),
    "confidence": (("one.png", "--confidence", "2"), "found '2', expected a number from 0 to 1"),
    "model": (("one.png", "--model", "one.png"), "one.png: is no Keras model"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.usefixtures("here")
def test_refused(case: str, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, message = REFUSED[case]
    if case != "no picture":
        (tmp_path / "wide.csv").write_text("a1,a2,a3,a4,a5,a6\n1,2,3,4,5,6\n")
        (tmp_path / "one.png").write_bytes(png([[0]]))
        (tmp_path / "others").mkdir()
        (tmp_path / "others/notes.txt").touch()
        (tmp_path / "broken.png").write_bytes(b"no picture")
    model = Path("models/model.keras").resolve()
    monkeypatch.chdir(tmp_path)
    arguments = (arguments,) if isinstance(arguments, str) else arguments
    code, _, errors = start("pipeline.predict", "--model", str(model), *arguments)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == (1 if case != "all broken" else 4)

"""The model put to use on pictures and on tables."""

import csv
from pathlib import Path

import pytest
from PIL import Image

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
    assert header == ["image", "class", "probability"]
    assert [row[0] for row in rows] == [str(number) for number in range(1, 361)]
    assert [row[1:] for row in rows] == committed(here)


def test_pictures_of_any_size_beside_broken_ones(
    here: Workspace, tmp_path: Path, start: Start
) -> None:
    images = digits()["test"][0]
    (tmp_path / "a").mkdir()
    (tmp_path / "a/0.png").write_bytes(png(Image.fromarray(images[0])))
    Image.fromarray(images[1]).resize((80, 80), Image.Resampling.NEAREST).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"no picture")
    code, output, _ = start("pipeline.predict", str(tmp_path), "--header", "File,Digit")
    assert code == 2
    told, answers = output.split("File,Digit\n")
    assert "c.png: is none of PNG" in told
    assert answers.splitlines()[0] == f"a/0.png,{committed(here)[0][0]}"
    assert answers.splitlines()[1] == f"b.png,{committed(here)[1][0]}"


REFUSED = {
    "nothing there": ("nowhere", "nowhere: no such file or folder"),
    "no picture": (".", "found no data"),
    "another size": ("wide.csv", "wide.csv: found 6 columns of pixels, which make no square image"),
    "header": (("one.png", "--header", "a"), "--header: found 'a', expected 2 or 3 names"),
    "broken": ("broken.png", "broken.png: found no picture that can be read"),
    "model": (("one.png", "--model", "one.png"), "one.png: is no Keras model"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.usefixtures("here")
def test_refused(case: str, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, message = REFUSED[case]
    if case != "no picture":
        (tmp_path / "wide.csv").write_text("a1,a2,a3,a4,a5,a6\n1,2,3,4,5,6\n")
        (tmp_path / "one.png").write_bytes(png([[0]]))
        (tmp_path / "broken.png").write_bytes(b"no picture")
    model = Path("models/model.keras").resolve()
    monkeypatch.chdir(tmp_path)
    arguments = (arguments,) if isinstance(arguments, str) else arguments
    code, _, errors = start("pipeline.predict", "--model", str(model), *arguments)
    assert code == 2
    assert message in errors
    assert errors.count("\n") == 1

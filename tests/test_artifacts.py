import json
import os
import time
from pathlib import Path

import pytest

from pipeline import backend
from pipeline.artifacts import replacing, replacing_folder, write_csv, write_json, write_keras


class OutOfPaperError(Exception):
    pass


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    for content in ("old", "new"):
        with replacing(path) as (temporary,):
            temporary.write_text(content)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == content
    assert os.listdir(path.parent) == ["file"]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OutOfPaperError), replacing(path) as (temporary,):
        temporary.write_text("ne")
        raise OutOfPaperError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_files_are_replaced_together(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        path.write_text("old")
    with pytest.raises(OutOfPaperError), replacing(first, second) as (temporary, _):
        temporary.write_text("new")
        raise OutOfPaperError
    assert first.read_text() == second.read_text() == "old"
    with replacing(first, second) as temporaries:
        for temporary in temporaries:
            temporary.write_text("new")
    assert first.read_text() == second.read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["first", "second"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with replacing_folder(tmp_path / "folder") as temporary:
            (temporary / name).write_text(name)
        assert os.listdir(tmp_path / "folder") == [name]
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("before", [[], ["old"]])
def test_a_failure_leaves_the_old_folder(before: list[str], tmp_path: Path) -> None:
    for name in before:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / name).write_text(name)
    with pytest.raises(OutOfPaperError), replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "new").write_text("ne")
        raise OutOfPaperError
    assert os.listdir(tmp_path) == (["folder"] if before else [])
    assert not before or os.listdir(tmp_path / "folder") == before


def test_a_killed_replacement_is_undone(tmp_path: Path) -> None:
    for name in (".folder.old", ".folder.tmp"):  # the moment between the two renames
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    with pytest.raises(OutOfPaperError), replacing_folder(tmp_path / "folder"):
        raise OutOfPaperError
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == [".folder.old"]


def test_json_is_sorted_and_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"b": 1, "a": 0.1, "é": "é"})
    assert path.read_bytes() == '{\n  "a": 0.1,\n  "b": 1,\n  "é": "é"\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text())["b"] == 1


def test_csv(tmp_path: Path) -> None:
    write_csv(tmp_path / "file.csv", ("name", "value"), [("a, b", 0.1), ('"c"', 2)])
    assert (tmp_path / "file.csv").read_bytes() == b'name,value\n"a, b",0.1\n"""c""",2\n'


def test_a_model_saves_to_the_same_bytes(tmp_path: Path) -> None:
    backend.start()
    import keras

    shared = keras.regularizers.L2(0.1)  # appears twice, so Keras numbers it
    model = keras.Sequential(
        [keras.Input((2,))] + [keras.layers.Dense(2, kernel_regularizer=shared) for _ in range(2)]
    )
    for name in ("first", "second"):
        write_keras(tmp_path / name, model)
        time.sleep(2)  # two seconds are what a zip can tell apart
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    (tmp_path / "first").rename(tmp_path / "first.keras")
    loaded = keras.models.load_model(tmp_path / "first.keras")
    for saved, weights in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert (saved == weights).all()

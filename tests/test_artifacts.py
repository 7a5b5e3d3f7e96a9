"""Bytes that are the same every time, and files that are whole or not there."""

import json
import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from pipeline.artifacts import (
    csv_bytes,
    json_bytes,
    keras_bytes,
    replacing_folder,
    write_files,
    write_output,
)
from pipeline.training import backend


def test_json_is_sorted_and_has_no_nan() -> None:
    content = json_bytes({"b": 1, "a": 0.1, "é": "é"})
    assert content == '{\n  "a": 0.1,\n  "b": 1,\n  "é": "é"\n}\n'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"a": float("nan")})


def test_csv() -> None:
    content = csv_bytes(("name", "value"), [("a, b", 0.1), ('"c"', 2)])
    assert content == b'name,value\n"a, b",0.1\n"""c""",2\n'


def test_a_model_has_the_same_bytes_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    backend.start()
    import keras

    shared = keras.regularizers.L2(0.1)  # appears twice, so Keras numbers it
    model = keras.Sequential(
        [keras.Input((2,))] + [keras.layers.Dense(2, kernel_regularizer=shared) for _ in range(2)]
    )
    first = keras_bytes(model, {"class_names": ["a", "b"]})
    with monkeypatch.context() as later:
        later.setattr("time.time", lambda: 2_000_000_000.0)  # what a zip stamps its members with
        second = keras_bytes(model, {"class_names": ["a", "b"]})
    assert first == second
    with zipfile.ZipFile(BytesIO(first)) as members:
        metadata = json.loads(members.read("metadata.json"))
    assert metadata["date_saved"] == "1980-01-01@00:00:00"
    assert metadata["class_names"] == ["a", "b"]


def test_a_model_comes_back(tmp_path: Path) -> None:
    backend.start()
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    (tmp_path / "model.keras").write_bytes(keras_bytes(model, {"largest_pixel": 16}))
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for saved, weights in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert (saved == weights).all()


def refuse(_path: Path, _target: Path) -> Path:
    raise OSError(28, "No space left on device")


def test_files_are_written_together(tmp_path: Path) -> None:
    first, second = tmp_path / "folder/first", tmp_path / "second"
    for content in (b"old", b"new"):
        write_files({first: content, second: content + b"er"})
        assert (first.read_bytes(), second.read_bytes()) == (content, content + b"er")
    assert os.listdir(tmp_path / "folder") == ["first"]
    assert sorted(os.listdir(tmp_path)) == ["folder", "second"]


@pytest.mark.parametrize("there", ["none", "one", "both"])
def test_if_one_cannot_be_replaced_none_is(
    there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in {"none": [], "one": [first], "both": [first, second]}[there]:
        path.write_text("old")
    before = sorted(os.listdir(tmp_path))
    replace = Path.replace

    def fail_for_second(path: Path, target: Path) -> Path:
        return refuse(path, target) if target == second else replace(path, target)

    monkeypatch.setattr(Path, "replace", fail_for_second)
    with pytest.raises(OSError, match="No space left"):
        write_files({first: b"new", second: b"new"})
    assert sorted(os.listdir(tmp_path)) == before
    assert all((tmp_path / name).read_text() == "old" for name in before)


def test_if_one_cannot_be_written_none_is_replaced(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "file/second"
    for path in (first, tmp_path / "file"):  # the second needs a folder where there is a file
        path.write_text("old")
    with pytest.raises(OSError, match="exists"):
        write_files({first: b"new", second: b"new"})
    assert sorted(os.listdir(tmp_path)) == ["file", "first"]
    assert first.read_text() == "old"


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    test_if_one_cannot_be_replaced_none_is("both", tmp_path, monkeypatch)


def a_file(path: Path) -> None:
    path.write_text("left")


def a_folder(path: Path) -> None:
    (path / "inner").mkdir(parents=True)


def a_link(path: Path) -> None:
    path.symlink_to("/nowhere")


@pytest.mark.parametrize("make", [a_file, a_folder, a_link])
@pytest.mark.parametrize("kind", ["tmp", "old"])
def test_leftovers_of_any_kind_are_removed(
    kind: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    for name in (".file", ".folder"):
        make(tmp_path / f"{name}.{kind}")
    (tmp_path / "folder").mkdir()
    write_files({tmp_path / "file": b"new"})
    with replacing_folder(tmp_path / "folder") as folder:
        (folder / "new").touch()
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == ["new"]


def test_a_link_is_replaced_and_not_what_it_points_to(tmp_path: Path) -> None:
    cached, output = tmp_path / "cached", tmp_path / "output"
    cached.write_text("of DVC's cache")
    output.symlink_to(cached)
    write_files({output: b"new"})
    assert (output.is_symlink(), output.read_text()) == (False, "new")
    assert cached.read_text() == "of DVC's cache"


def test_an_output_of_the_user_s_choice_is_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    write_output(link, b"text")
    assert (link.is_symlink(), target.read_text()) == (True, "text")
    write_output(Path("/dev/null"), b"text")
    assert Path("/dev/null").is_char_device()
    reader, writer = os.pipe()
    write_output(Path(f"/dev/fd/{writer}"), b"text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    os.close(writer)
    write_output(tmp_path / "file", b"text")
    assert (tmp_path / "file").read_text() == "text"


class OutOfPaperError(Exception):
    pass


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with replacing_folder(tmp_path / "folder") as temporary:
            (temporary / name).write_text(name)
        assert os.listdir(tmp_path / "folder") == [name]
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("make", [a_file, a_folder, a_link])
def test_whatever_was_in_the_place_of_a_folder_is_replaced(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "folder")
    with replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "new").touch()
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == ["new"]


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


def test_an_interrupted_replacement_is_undone(tmp_path: Path) -> None:
    for name in (".folder.old", ".folder.tmp"):  # the moment between the two renames
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    with pytest.raises(OutOfPaperError), replacing_folder(tmp_path / "folder"):
        raise OutOfPaperError
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(tmp_path / "folder") == [".folder.old"]


def test_a_file_system_that_cannot_sync_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    write_files({tmp_path / "file": b"new"})
    assert os.listdir(tmp_path) == ["file"]

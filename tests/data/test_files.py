"""The files of a dataset: which there are, and that they stay what they were."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.files import Entry, Files, files_of, kind_of, list_files, walk
from pipeline.data.pixels import Pixels, decode_into
from pipeline.errors import InputError, IntegrityError
from tests.data.support import IDX_NAMES, idx_bytes, png, read, write

KINDS = {
    "folder": ["a.png", "a.JPG", "a.b.jpeg", "x/a.webp", "a.bmp", "a.gif", "a.tif", "a.TIFF"],
    "csv": ["train.csv"],
    "npz": ["mnist.npz"],
    "parquet": ["train-00000-of-00001.parquet"],
    "archive": ["a.zip", "a.tar", "a.tgz", "a.tar.gz", "a.tar.xz", "a.TAR.BZ2"],
    "idx": [*IDX_NAMES, f"{IDX_NAMES[0]}.gz", "t10k-images.idx3-ubyte", "a.idx", "x-idx2-int.gz"],
    "cifar": ["cifar-10-batches-bin/data_batch_1.bin", "test_batch.bin"],
    None: ["README.md", "a", "a.gz", "batches.meta.txt", "png", ".csvx", "a.bin", "dataset.yaml"],
}


@pytest.mark.parametrize(("kind", "names"), KINDS.items())
def test_kinds(kind: str | None, names: list[str]) -> None:
    assert [kind_of(name) for name in names] == [kind] * len(names)


def listed(location: Path, manifest: Path) -> tuple[list[Entry], tuple[int, int, str]]:
    found = list_files(location, manifest, lambda: None)
    return list(Files(location, manifest)), found


def test_a_list_by_hand(tmp_path: Path) -> None:
    write(tmp_path, {"own/b.png": "b", "own/a/c.png": "", "own/README.md": "x", "own/.x.png": "x"})
    entries, (count, size, digest) = listed(tmp_path / "own", tmp_path / "list")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes
    b = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
    assert entries == [Entry("a/c.png", 0, empty), Entry("b.png", 1, b)]
    assert (count, size, len(digest)) == (2, 1, 64)
    assert (tmp_path / "list").read_text() == (
        f'"path","size","sha256"\n"a/c.png",0,"{empty}"\n"b.png",1,"{b}"\n'
    )


NAME = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40)


@given(st.sets(NAME.filter(lambda name: not name.startswith(".")), min_size=1, max_size=4))
def test_any_names(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    write(folder, {f"own/{name}.png": name for name in names})
    entries, _ = listed(folder / "own", folder / "list")
    own = Files(folder / "own", folder / "list")
    assert [entry.path for entry in entries] == sorted(f"{name}.png" for name in names)
    assert {own.read(entry).decode() for entry in entries} == names
    assert all(own.name(entry).isprintable() for entry in entries)


REFUSED = {
    "nothing": ((), "found no data, expected pictures, a table or an archive"),
    "an empty folder": (("mkdir own/cat",), "own/cat: found a folder without a file that can be"),
    "a folder of notes": (
        ("mkdir own/cat", "touch own/cat/README"),
        "own/cat: found a folder with",
    ),
    "a folder of folders": (("mkdir -p own/cat/x/y",), "own/cat/x/y: found a folder without"),
    "a link to nowhere": (("ln -s x own/a.png",), "own/a.png: is a link that leads nowhere"),
    "a link to itself": (("ln -s a.png own/a.png",), "own/a.png: is a link that leads nowhere"),
    "a link to a folder": (("ln -s .. own/a",), "own/a: is a link to a folder, expected files"),
    "a pipe": (("mkfifo own/a",), "own/a: is neither a file nor a folder; remove it"),
    "an escape": (("ln -s x own/$'\\e[1m'.png",), "own/\\x1b[1m.png: is a link that leads nowh"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    for command in commands:
        assert os.system(f"bash -c {command!r}") == 0  # noqa: S605, one of those above
    with pytest.raises(InputError) as error:
        list(walk(Path("own")))
    assert message in str(error.value)


def test_a_file_that_goes_while_files_are_listed(tmp_path: Path) -> None:
    write(tmp_path, {"own/a.png": "x", "own/b.png": "x"})
    with pytest.raises(IntegrityError, match=r"own/b.png: has gone while the files were listed; r"):
        list_files(tmp_path / "own", tmp_path / "list", (tmp_path / "own/b.png").unlink)


def test_a_file_that_changes(tmp_path: Path) -> None:
    write(tmp_path, {"own/a.png": "x"})
    (entry,), _ = listed(tmp_path / "own", tmp_path / "list")
    own = Files(tmp_path / "own", tmp_path / "list")
    assert own.read(entry) == b"x"
    assert own.path(entry) == tmp_path / "own/a.png"
    write(tmp_path, {"own/a.png": "y"})
    for call in (own.read, own.path):
        with pytest.raises(IntegrityError, match=r"own/a.png: has changed since the stage downlo"):
            call(entry)
    (tmp_path / "own/a.png").unlink()
    with pytest.raises(IntegrityError, match=r"own/a.png: has gone since the stage download list"):
        own.read(entry)


def test_a_table_that_changes_while_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, array in zip(
        IDX_NAMES,
        [np.zeros((4, 2, 2), np.uint8), np.arange(4, dtype=np.uint8) % 2] * 2,
        strict=True,
    ):
        write(tmp_path, {f"own/{name}": idx_bytes(array)})

    def decode_and_change(*arguments: object, **options: object) -> Pixels:
        pixels = decode_into(*arguments, **options)  # type: ignore[arg-type]
        write(tmp_path, {f"own/{IDX_NAMES[0]}": idx_bytes(np.ones((4, 2, 2), np.uint8))})
        return pixels

    monkeypatch.setattr("pipeline.preprocess.decode_into", decode_and_change)
    with pytest.raises(IntegrityError, match=f"own/{IDX_NAMES[0]}: has changed since the stage"):
        read(tmp_path, validation="test")
    assert not (tmp_path / ".processed").exists()


DAMAGED = [
    "",
    "path,size\n",
    "path,size,sha256\na,b,c\n",
    "path,size,sha256\na\n",
    "\0",
    '"',
    b"\xff",
]


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_list(content: str | bytes, tmp_path: Path) -> None:
    write(tmp_path, {"raw/manifest.csv": content, "own/a.png": png([[1]])})
    with pytest.raises(InputError, match=r"raw/manifest.csv: cannot be read; run dvc repro"):
        list(files_of(tmp_path / "own", tmp_path / "raw"))

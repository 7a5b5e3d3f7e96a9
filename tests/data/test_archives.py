"""Archives of one's own: unpacked into data/raw, safely and whole."""

import contextlib
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.datasets import find
from pipeline.data.files import MANIFEST
from pipeline.download import list_local
from pipeline.errors import InputError, IntegrityError, PipelineError
from tests.data.support import png, read, tarred, write, zipped

PICTURES = {f"{name}/{n}.png": png([[n]]) for name in ("cat", "dog") for n in range(4)}
ARCHIVES = {
    "pets.zip": zipped(PICTURES),
    "pets.tar": tarred(PICTURES, mode="w"),
    "pets.tar.gz": tarred(PICTURES),
    "pets.tgz": tarred(PICTURES),
    "pets.tar.xz": tarred(PICTURES, mode="w:xz"),
}


def unpack(folder: Path) -> Path:
    """What the stage download makes of `folder`/own."""
    raw = folder / "raw"
    list_local(find("own", sources=folder), raw=raw, metrics=folder / "metrics.json")
    return raw


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive(name: str, tmp_path: Path) -> None:
    splits = read(write(tmp_path, {f"own/{name}": ARCHIVES[name]}), test=2, validation=2)
    assert splits["train"].class_names == ("cat", "dog")
    assert listing(tmp_path / ".raw") == sorted(PICTURES)


def test_an_archive_that_is_the_dataset(tmp_path: Path) -> None:
    splits = read(
        write(tmp_path, {"pets.zip": ARCHIVES["pets.zip"]}), "pets.zip", test=2, validation=2
    )
    assert splits["train"].class_names == ("cat", "dog")


def test_an_archive_for_each_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        files = {f"{split}/{name}": content for name, content in PICTURES.items()}
        write(tmp_path, {f"own/{split}.zip": zipped(files)})
    splits = read(tmp_path, validation="test")
    assert [len(split.labels) for split in splits.values()] == [8, 8, 8]


def test_members_by_a_pattern(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {"docs/scan.png": "x", **PICTURES}
    for name, content in (("own/a.zip", zipped(files)), ("own/b.tar.gz", tarred(files))):
        write(tmp_path, {name: content})
    write(tmp_path, {"own/dataset.yaml": 'members: "[cd][ao][tg]/*"\n'})
    assert listing(unpack(tmp_path)) == sorted(PICTURES)


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo("cat/link.png")
    member.type, member.linkname = kind, target
    return member


def test_a_link_to_another_member_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"own/pets.tar.gz": tarred(PICTURES, link("0.png"))})
    splits = read(tmp_path, test=2, validation=2)
    assert sum(len(split.labels) for split in splits.values()) == 9


UNSAFE = {
    "zip: above": zipped({"../../evil.png": "x"}),
    "zip: above, further down": zipped({**PICTURES, "cat/../../evil.png": "x"}),
    "zip: absolute": zipped({"/evil.png": "x"}),
    "tar: above": tarred({**PICTURES, "../../evil.png": "x"}),
    "tar: a link to outside": tarred(PICTURES, link("../../evil.png")),
    "tar: an absolute link": tarred(PICTURES, link("/etc/hostname")),
    "tar: a hard link to outside": tarred(PICTURES, link("../evil.png", tarfile.LNKTYPE)),
    "tar: a device": tarred(PICTURES, link("", tarfile.CHRTYPE)),
    "tar: a pipe": tarred(PICTURES, link("", tarfile.FIFOTYPE)),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_members_that_lie_outside(case: str, tmp_path: Path) -> None:
    name = "own/pets.zip" if case.startswith("zip") else "own/pets.tar.gz"
    write(tmp_path, {name: UNSAFE[case], "raw/before": "x"})
    with pytest.raises(InputError) as error:
        unpack(tmp_path)
    assert f"{tmp_path}/{name}: " in str(error.value)
    assert str(error.value).endswith("; unpack it yourself")
    assert listing(tmp_path) == sorted([name, "raw/before"])


def test_an_absolute_path_in_a_tar_file_is_below_the_folder(tmp_path: Path) -> None:
    write(tmp_path, {"own/pets.tar.gz": tarred({"/evil.png": "x"})})
    assert listing(unpack(tmp_path)) == ["evil.png"]
    assert not Path("/evil.png").exists()


@pytest.mark.parametrize("content", [zipped({"cat/1.png": "x"}), zipped({})])
def test_nothing_to_unpack(content: bytes, tmp_path: Path) -> None:
    write(tmp_path, {"own/pets.zip": content, "own/dataset.yaml": "members: dog/*\n"})
    with pytest.raises(
        InputError, match=r"pets.zip: found no file that matches 'dog/\*', expected"
    ):
        unpack(tmp_path)


def test_a_member_with_the_name_of_our_list(tmp_path: Path) -> None:
    write(tmp_path, {"own/pets.zip": zipped({**PICTURES, MANIFEST: "id,label\n"})})
    with pytest.raises(InputError, match=r"pets.zip: holds a manifest.csv, which means a list"):
        unpack(tmp_path)


def test_data_beside_an_archive(tmp_path: Path) -> None:
    write(tmp_path, {"own/pets.zip": ARCHIVES["pets.zip"], "own/cat/9.png": "x"})
    with pytest.raises(
        InputError, match="found an archive and other data, expected either; unpack"
    ):
        unpack(tmp_path)


def test_a_header_that_is_damaged_is_not_the_end(tmp_path: Path) -> None:
    content = bytearray(ARCHIVES["pets.tar"])
    content[content.index(b"dog/0.png")] ^= 1  # its checksum is wrong now
    write(tmp_path, {"own/pets.tar": bytes(content)})
    with pytest.raises(
        IntegrityError, match=r"is a damaged or encrypted archive \(a header is dam"
    ):
        unpack(tmp_path)


@pytest.mark.parametrize("name", ["pets.zip", "pets.tar.gz", "pets.tar.xz"])
@given(data=st.data())
def test_any_damage_is_told_or_does_no_harm(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = ARCHIVES[name]
    start = data.draw(st.integers(0, len(whole)))
    end = start + data.draw(st.integers(0, 9))
    content = whole[:start] + data.draw(st.binary(max_size=9)) + whole[end:]
    folder = write(tmp_path_factory.mktemp("archive"), {f"own/{name}": content})
    with contextlib.suppress(PipelineError):
        raw = unpack(folder)
        for path in listing(raw):
            assert (raw / path).read_bytes() in PICTURES.values() or path == MANIFEST
    assert set(os.listdir(folder)) <= {"own", "raw", "metrics.json"}

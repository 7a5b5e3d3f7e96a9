"""Many pictures: in any number of processes, with broken ones, in colour that is found late."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import machine
from pipeline.data import pixels
from pipeline.data.decode import Task, decode, decode_all
from pipeline.data.parts import ArrayChunk, BytesChunk, Chunk
from pipeline.data.prepare import Preparation
from pipeline.errors import InputError
from tests.data.support import encoded, png, read, write

GREY = Task(Preparation(2, 2, 1), resize=False, refuse_colour=True)
ONE, TWO = [[1, 2], [3, 4]], [[5, 6], [7, 8]]


def test_a_chunk_of_pictures() -> None:
    chunk = BytesChunk("table", 11, [png(ONE), b"", png(TWO), b"hello", png(ONE), png([[1]])])
    found = decode(chunk, GREY)
    assert found.pixels.tolist() == [ONE, TWO, ONE]
    assert found.healthy.tolist() == [True, False, True, False, True, False]
    assert found.digests[0] == found.digests[2] != found.digests[1]
    assert found.sizes == {(2, 2): 3, (1, 1): 1}
    assert found.broken[0] == "table: row 12: is empty"
    assert found.broken[1].startswith("table: row 14: is none of PNG, ")
    assert not found.colour


def test_pixels_that_need_no_decoding() -> None:
    pictures = decode(BytesChunk("table", 1, [png(ONE), png(TWO)]), GREY)
    arrays = decode(ArrayChunk("table", np.array([ONE, TWO], np.uint8)), GREY)
    assert arrays.pixels.tolist() == pictures.pixels.tolist() == [ONE, TWO]
    assert arrays.digests.tolist() == pictures.digests.tolist()
    assert arrays.sizes == pictures.sizes


def test_pixels_that_are_resized() -> None:
    task = Task(Preparation(1, 1, 1), resize=True, refuse_colour=False)
    found = decode(ArrayChunk("table", np.full((3, 4, 4), 9, np.uint8)), task)
    assert found.pixels.tolist() == [[[9]]] * 3
    assert found.sizes == {(4, 4): 3}


def test_colour_where_grey_is_expected() -> None:
    red = Image.new("RGB", (2, 2), "red")
    assert decode(BytesChunk("table", 1, [png(ONE), png(red)]), GREY).colour
    assert not decode(BytesChunk("table", 1, [png(ONE)]), GREY).colour


def folder_of_noise(folder: Path, count: int) -> Path:
    """Pictures in two classes, of many sizes; every third is a JPEG."""
    generator = np.random.default_rng(0)
    files: dict[str, bytes | str] = {}
    for number in range(count):
        height, width = generator.integers(5, 30, 2)
        noise = Image.fromarray(generator.integers(0, 256, (height, width, 3), np.uint8))
        kind = "JPEG" if number % 3 == 0 else "PNG"
        files[f"own/{number % 2}/{number}.{kind.lower()}"] = encoded(noise, kind)
    return write(folder, files)


def processed(folder: Path) -> dict[str, bytes]:
    root = folder / ".processed"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.glob("*/*")}


def test_any_number_of_processes_makes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels, "ALONE", 0)
    folder = folder_of_noise(tmp_path, 300)
    results = []
    for processes in (1, 2, 3):
        monkeypatch.setattr(machine, "cores", lambda processes=processes: processes)
        read(folder, size=[12, 9])
        results.append(processed(folder))
    assert len(results[0]) == 9
    assert results[0] == results[1] == results[2]


def test_colour_that_is_found_late(tmp_path: Path) -> None:
    grey = {f"own/a/{number:02}.png": png(ONE) for number in range(40)}
    write(tmp_path, grey | {"own/b/1.png": png(Image.new("RGB", (2, 2), "red"))})
    write(tmp_path, {f"own/b/{number}.png": png(TWO) for number in range(2, 5)})
    splits = read(tmp_path, test=0.5, validation=0.5)
    images = np.concatenate([split.images for split in splits.values()])
    assert images.shape[1:] == (2, 2, 3)
    assert (images == (255, 0, 0)).all(axis=(1, 2, 3)).sum() == 1


def test_the_first_20_broken_pictures_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"own/{name}/{number:02}.png": png(ONE) for name in "ab" for number in range(50)}
    write(tmp_path, files | {f"own/a/{number:02}.png": b"" for number in range(25)})
    with pytest.raises(InputError) as error:
        read(tmp_path)
    head, *lines = str(error.value).splitlines()
    assert head.startswith("25 pictures cannot be read; replace them, or preprocess.broken: skip")
    named = [f"  {tmp_path}/own/a/{number:02}.png: is empty" for number in range(20)]
    assert lines == [*named, "  and 5 more"]
    splits = read(tmp_path, broken="skip")
    assert sum(len(split.labels) for split in splits.values()) == 75
    head, *others = capsys.readouterr().out.partition("left out ")[2].splitlines()
    assert head == "25 pictures:"
    assert others[:21] == lines


def test_other_sizes_are_not_taken_for_broken(tmp_path: Path) -> None:
    files = {f"own/{name}/{number}.png": png(ONE) for name in "ab" for number in range(9)}
    write(tmp_path, files | {"own/a/0.png": b"", "own/a/1.png": png([[1]])})
    with pytest.raises(InputError, match=r"found images of 2 sizes, 2x2 \(16\), 1x1 \(1\)"):
        read(tmp_path, broken="skip")


@dataclass(frozen=True)
class Killer:
    """A chunk that kills the process which loads it."""

    def __len__(self) -> int:
        return 1

    def load(self) -> ArrayChunk:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_process_is_killed() -> None:
    chunks: list[Chunk] = [ArrayChunk("table", np.array([ONE], np.uint8)), Killer()]
    with pytest.raises(InputError, match=r"^a process that decodes images was killed, maybe for"):
        list(decode_all(chunks, GREY, 2, 2))

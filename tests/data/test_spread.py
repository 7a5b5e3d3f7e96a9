"""Which images each task of a cluster gets; what it makes of them is in tests/cluster."""

from itertools import pairwise

import fsspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.decode import Task
from pipeline.data.digests import digests_of
from pipeline.data.parts import ArrayChunk, BytesChunk, Chunk, selected
from pipeline.data.prepare import Preparation
from pipeline.data.spread import Wanted, chosen, grouped, make
from tests.data.support import png


def numbered(*bounds: int) -> list[Chunk]:
    """Chunks of images of one pixel, each of which is its position among all."""
    return [
        ArrayChunk("", np.arange(start, end, dtype=np.uint8).reshape(-1, 1, 1))
        for start, end in pairwise(bounds)
    ]


def contents(chunks: list[Chunk]) -> list[int]:
    found = []
    for chunk in chunks:
        content = chunk.load()
        assert isinstance(content, ArrayChunk)
        found += content.pixels.reshape(-1).tolist()
    return found


def test_groups_by_hand() -> None:
    positions = np.array([0, 1, 3, 7, 8, 9])
    groups = grouped(chosen(numbered(0, 4, 6, 10), positions), 2)
    assert [contents(group) for group in groups] == [[0, 1], [3, 7], [8, 9]]


@given(st.data())
def test_every_image_is_in_one_group(data: st.DataObject) -> None:
    bounds = sorted(data.draw(st.sets(st.integers(1, 60), max_size=8)) | {0, 60})
    positions = np.array(sorted(data.draw(st.sets(st.integers(0, 59)))), np.intp)
    count = data.draw(st.integers(1, 20))
    groups = [contents(group) for group in grouped(chosen(numbered(*bounds), positions), count)]
    assert sum(groups, []) == positions.tolist()  # noqa: RUF017, few
    assert all(len(group) == count for group in groups[:-1])


def test_pictures_keep_their_names() -> None:
    chunk = selected(BytesChunk("table", 11, [b"a", b"b", b"c"]), [0, 2])
    content = chunk.load()
    assert not isinstance(content, ArrayChunk)
    assert [*content] == [b"a", b"c"]
    assert [content.name(number) for number in range(2)] == ["table: row 11", "table: row 13"]


def test_what_a_task_makes() -> None:
    shades = [png([[number, number + 1]]) for number in range(3)]
    chunks: list[Chunk] = [BytesChunk("a", 1, shades[:2]), BytesChunk("b", 1, shades[2:])]
    task = Task(Preparation(1, 2, 1), resize=False, refuse_colour=False)
    made = make(Wanted("train", 7, chunks), task, "memory://spread")
    images = np.array([[[0, 1]], [[1, 2]], [[2, 3]]], np.uint8)
    assert (made.split, made.part.rows) == ("train", 3)
    assert made.part.name.startswith("train/images-00007-")
    assert made.digests.tolist() == digests_of(images).tolist()
    assert made.levels[:5].tolist() == [1, 2, 2, 1, 0]
    files = fsspec.filesystem("memory")
    before = files.modified(f"/spread/{made.part.name}")
    assert make(Wanted("train", 7, chunks), task, "memory://spread").part == made.part
    assert files.modified(f"/spread/{made.part.name}") == before
    files.store.clear()

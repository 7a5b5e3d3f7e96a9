import contextlib
import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.data import idx
from pipeline.errors import IntegrityError
from tests.data.support import idx_bytes

IMAGES = idx_bytes(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))  # a header of 16 bytes

BROKEN = {
    "empty": (b"", "starts with nothing"),
    "one byte": (b"\0", "starts with 00, expected an IDX file"),
    "magic": (b"\1" + IMAGES[1:], "starts with 01 00 08 03"),
    "little-endian magic": (IMAGES[3::-1] + IMAGES[4:], "starts with 03 08 00 00"),
    "type": (IMAGES[:2] + b"\x0a" + IMAGES[3:], "starts with 00 00 0a 03"),
    "cut in the header": (IMAGES[:9], "ends inside its header"),
    "header alone": (IMAGES[:16], "promises 12 bytes, a shape of (2, 2, 3), but 0 follow"),
    "truncated": (IMAGES[:-1], "promises 12 bytes, a shape of (2, 2, 3), but 11 follow"),
    "trailing byte": (IMAGES + b"\0", "promises 12 bytes, a shape of (2, 2, 3), but 13 follow"),
    "count too low": (IMAGES[:7] + b"\1" + IMAGES[8:], "promises 6 bytes, a shape of (1, 2, 3)"),
    "bomb": (IMAGES[:4] + b"\xff" * 12 + IMAGES[16:], "promises 79,228,162,458,924,105,385,300"),
    "no images": (IMAGES[:4] + b"\0" * 4 + IMAGES[8:16], "is empty, its shape is (0, 2, 3)"),
    "gzip": (b"\x1f\x8b\x08\x00" + IMAGES, "starts with 1f 8b 08 00"),
}


def read(path: Path) -> NDArray[np.generic]:
    return np.concatenate([*idx.stored(path, str(path)).rows(1)])


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str, tmp_path: Path) -> None:
    content, message = BROKEN[case]
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as error:
        idx.stored(path, str(path))
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [gzip.compress(IMAGES)[:-9], IMAGES, b"\x1f\x8b"])
def test_broken_archives(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"images.gz: "):
        read(path)


def test_an_archive_that_is_too_short(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(IMAGES[:-1]))
    with pytest.raises(IntegrityError, match=r"promises 2 rows of shape \(2, 3\), ends in row 2"):
        read(path)


def test_by_hand(tmp_path: Path) -> None:
    assert IMAGES[:16].hex(" ", 4) == "00000803 00000002 00000002 00000003"
    for name, content in (("images", IMAGES), ("images.gz", gzip.compress(IMAGES))):
        (tmp_path / name).write_bytes(content)
        assert read(tmp_path / name).tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


@pytest.mark.parametrize("code", idx.TYPES)
def test_every_type(code: int, tmp_path: Path) -> None:
    values = np.array([1, 2, 3], idx.TYPES[code])
    path = tmp_path / "labels"
    path.write_bytes(bytes([0, 0, code, 1, 0, 0, 0, 3]) + values.tobytes())
    assert read(path).tolist() == [1, 2, 3]


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4)))
def test_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, array: NDArray[np.uint8]
) -> None:
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(idx_bytes(array))
    np.testing.assert_array_equal(read(path), array)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("idx") / "labels"
    path.write_bytes(content)
    with contextlib.suppress(IntegrityError):
        read(path)

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from pipeline.data import idx
from pipeline.errors import InputError, IntegrityError

IMAGES = idx.encode(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))  # a header of 16 bytes
COUNT = slice(4, 8)  # how many images, 00 00 00 02

BROKEN = {
    "empty": (b"", "starts with nothing"),
    "one byte": (b"\0", "starts with 00, expected 00 00 08 03"),
    "magic": (b"\1" + IMAGES[1:], "starts with 01 00 08 03"),
    "little-endian magic": (IMAGES[3::-1] + IMAGES[4:], "starts with 03 08 00 00"),
    "type": (IMAGES[:2] + b"\x0d" + IMAGES[3:], "starts with 00 00 0d 03"),
    "dimensions": (IMAGES[:3] + b"\1" + IMAGES[4:], "starts with 00 00 08 01"),
    "cut in the header": (IMAGES[:9], "ends inside its header, after 9 of 16 bytes"),
    "header alone": (IMAGES[:16], "promises 12 values of shape (2, 2, 3), 0 follow"),
    "truncated": (IMAGES[:-1], "promises 12 values of shape (2, 2, 3), 11 follow"),
    "trailing byte": (IMAGES + b"\0", "promises 12 values of shape (2, 2, 3), 13 follow"),
    "count too low": (IMAGES[:7] + b"\1" + IMAGES[8:], "promises 6 values of shape (1, 2, 3), 12"),
    "count too high": (IMAGES[:4] + b"\xff" * 4 + IMAGES[8:], "promises 25,769,803,770 values"),
    "bomb": (IMAGES[:4] + b"\xff" * 12 + IMAGES[16:], "promises 79,228,162,458,924,105,385,300"),
    "no images": (IMAGES[:4] + b"\0" * 4 + IMAGES[8:16], "is empty, its shape is (0, 2, 3)"),
    "gzip": (b"\x1f\x8b\x08\x00" + IMAGES, "starts with 1f 8b 08 00"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken(case: str, tmp_path: Path) -> None:
    content, message = BROKEN[case]
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(IntegrityError) as error:
        idx.read(path, idx.IMAGES)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert path.read_bytes() == content


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images: no such file$"):
        idx.read(tmp_path / "images", idx.IMAGES)


def test_by_hand(tmp_path: Path) -> None:
    assert IMAGES[:16].hex(" ", 4) == "00000803 00000002 00000002 00000003"
    (tmp_path / "images").write_bytes(IMAGES)
    images = idx.read(tmp_path / "images", idx.IMAGES)
    assert images.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4)))
def test_read_gives_back_what_was_encoded(
    tmp_path_factory: pytest.TempPathFactory, array: NDArray[np.uint8]
) -> None:
    path = tmp_path_factory.mktemp("idx") / "array"
    path.write_bytes(idx.encode(array))
    np.testing.assert_array_equal(idx.read(path, array.ndim), array)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("idx") / "labels"
    path.write_bytes(content)
    with contextlib.suppress(IntegrityError):
        assert idx.encode(idx.read(path, idx.LABELS)) == content

"""Images with the same pixels are found, however few are compared at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import columns, digests
from pipeline.data.digests import alike, digests_of


def test_digests_by_hand() -> None:
    images = np.array([[[1, 2]], [[3, 4]], [[1, 2]]], np.uint8)
    one, other, again = digests_of(images).tolist()
    assert one == again != other
    assert one.to_bytes(8, "little").hex() == "2d8c377aedfc6330"  # by b2sum --length=64
    assert digests_of(images[:0]).tolist() == []


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7)), min_size=1, max_size=60))
def test_the_splits_of_images_that_are_alike(
    tmp_path_factory: pytest.TempPathFactory, images: list[tuple[int, int]]
) -> None:
    values, splits = (np.array(column) for column in zip(*images, strict=True))
    path = tmp_path_factory.mktemp("digests") / "digests"
    values.astype(np.uint64).tofile(path)
    found: dict[int, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "COMPARED", 7)
        patch.setattr(digests, "AT_ONCE", 5)
        patch.setattr(columns, "AT_ONCE", 5)
        for positions, own, together in alike(path, splits.astype(np.uint8)):
            assert np.array_equal(own, splits[positions])
            found |= dict(zip(positions.tolist(), together.tolist(), strict=True))
    expected = [np.bitwise_or.reduce(splits[values == value]) for value in values]
    assert [found[position] for position in range(len(images))] == expected

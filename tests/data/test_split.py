from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.split import Split, stratified
from pipeline.errors import InputError


def test_shares_by_hand() -> None:
    labels = np.array([0] * 5 + [1] * 3 + [2] * 2, dtype=np.uint8)
    chosen = stratified(lambda: [labels], 4, seed=0)  # exact shares 2.0, 1.2, 0.8
    assert np.bincount(labels[chosen]).tolist() == [2, 1, 1]


@given(st.data())
def test_shares(data: st.DataObject) -> None:
    labels = np.array(
        data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=200)), dtype=np.uint8
    )
    count = data.draw(st.integers(0, len(labels)))
    seed = data.draw(st.integers(0, 2**32 - 1))

    chosen = stratified(lambda: [labels], count, seed)

    assert len({*chosen.tolist()}) == len(chosen) == count
    exact = np.bincount(labels, minlength=10) * count / len(labels)
    assert (np.abs(np.bincount(labels[chosen], minlength=10) - exact) < 1).all()
    assert (stratified(lambda: [labels], count, seed) == chosen).all()


def test_another_seed_chooses_others() -> None:
    labels = np.zeros(1000, dtype=np.uint8)
    assert (
        stratified(lambda: [labels], 500, seed=0) != stratified(lambda: [labels], 500, seed=1)
    ).any()


def test_a_class_is_shuffled_as_numpy_permutes_it() -> None:
    labels = np.array([1, -1, 0, 1, 1, 0, 0, 1], np.int8)
    chosen = stratified(lambda: [labels[:3], labels[3:]], 4, seed=5)  # 1.7 and 2.3 of them
    generator = np.random.Generator(np.random.Philox(key=5))
    zeros, ones = generator.permutation([2, 5, 6])[:2], generator.permutation([0, 3, 4, 7])[:2]
    assert chosen.tolist() == [*zeros, *ones]


def test_load_gives_back_what_was_saved(tmp_path: Path) -> None:
    split = Split(
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.array([1, 0], np.uint8), ("é", "b"), 16
    )
    split.select(np.array([1, 0])).save(tmp_path / "split")

    loaded = Split.load(tmp_path / "split")

    assert loaded.images.tolist() == split.images[::-1].tolist()
    assert loaded.labels.tolist() == [0, 1]
    assert (loaded.class_names, loaded.largest_pixel) == (("é", "b"), 16)


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "about.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_damaged(name: str, damage: str, tmp_path: Path) -> None:
    Split(np.zeros((1, 2, 2), np.uint8), np.zeros(1, np.uint8), ("a",), 0).save(tmp_path / "split")
    path = tmp_path / "split" / name
    path.unlink()
    if damage != "missing":
        path.write_text("" if damage == "empty" else "hello")
    with pytest.raises(InputError, match=r"split: cannot be read"):
        Split.load(tmp_path / "split")

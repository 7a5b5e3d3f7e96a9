"""Images in a store: the same training as from the disk, and one line when they cannot be read."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data import store
from pipeline.data.split import Split, SplitWriter
from pipeline.errors import IntegrityError
from pipeline.training.engine import fit
from tests.training.support import LOSS, images, network


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    """Nothing is left in memory."""
    yield
    fsspec.filesystem("memory").store.clear()


def stored(split: Split, folder: Path) -> Split:
    """The same split with its images in memory, in several parts."""
    writer = SplitWriter(folder, split.images.shape, "memory://streamed")
    writer.add(split.images)
    writer.finish([split.labels], split.class_names, split.largest_pixel, split.prepare)
    return Split.load(folder)


def trained(train: Split, validation: Split) -> list[NDArray[np.float32]]:
    model = network()
    fit(
        model,
        train,
        validation,
        optimizer=keras.optimizers.Adam(0.01),
        loss=LOSS,
        epochs=2,
        batch_size=16,
        seed=7,
        streamed=True,
        callbacks=[],
    )
    weights: list[NDArray[np.float32]] = model.get_weights()
    return weights


def test_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART", 100)
    train, validation = images(50), images(30, seed=1)
    ours = trained(stored(train, tmp_path / "train"), stored(validation, tmp_path / "validation"))
    for mine, other in zip(ours, trained(train, validation), strict=True):
        assert mine.tobytes() == other.tobytes()


def test_images_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART", 16)  # one image
    monkeypatch.setattr(store, "KEPT", 0)
    train = stored(images(50), tmp_path / "train")
    files = fsspec.filesystem("memory")
    (path,) = files.glob("/streamed/train/images-00007-*.npy")
    files.pipe_file(path, bytes(files.size(path)))
    with pytest.raises(IntegrityError, match=r"images-00007-\w+.npy: is damaged, 1 of the "):
        trained(train, images(30, seed=1))

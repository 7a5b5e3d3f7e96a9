"""A model file applied to images, and files that are no model."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.artifacts import keras_bytes
from pipeline.errors import InputError
from pipeline.training import backend, inference
from pipeline.training.inference import about, predict
from tests.training.support import images, network

PIXELS = images(5).images


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(keras_bytes(network(), {"class_names": ["left", "right"]}))
    return path


def logits(model: Path, images: NDArray[np.uint8], classes: int = 2) -> NDArray[np.float64]:
    return np.concatenate([*predict(model, images, classes)])


def test_the_logits_are_the_network_s(model: Path) -> None:
    np.testing.assert_allclose(logits(model, PIXELS), network()(PIXELS), atol=1e-6)


def test_in_parts_or_at_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = predict(model, PIXELS, 2)
    monkeypatch.setattr(backend, "images_at_once", lambda _shape: 2)
    monkeypatch.setattr(inference, "PART", 1)
    parts = [*predict(model, PIXELS, 2)]
    assert [len(part) for part in parts] == [2, 2, 1]
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((28, 28), 2000), ((64, 64), 2000), ((224, 224, 3), 55), ((5000, 5000, 3), 1)],
)
def test_fewer_large_images_at_once(shape: tuple[int, ...], expected: int) -> None:
    assert backend.images_at_once(shape) == expected


def test_a_model_says_what_it_is_about(model: Path) -> None:
    assert about(model)["class_names"] == ["left", "right"]


def test_images_of_another_size(model: Path) -> None:
    with pytest.raises(InputError, match=r"takes images of \(4, 4\) pixels, found \(4, 3\)"):
        logits(model, PIXELS[:, :, :3])


def test_images_in_colour_for_a_grey_model(model: Path) -> None:
    with pytest.raises(InputError, match=r"images of \(4, 4\) pixels, found \(4, 4, 3\)"):
        logits(model, np.zeros((2, 4, 4, 3), np.uint8))


def test_another_number_of_classes(model: Path) -> None:
    with pytest.raises(
        InputError, match=r"output of shape \(2,\), expected a value for each of 3 c"
    ):
        logits(model, PIXELS, 3)


def test_a_damaged_model(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-100])
    for read in (about, lambda path: logits(path, PIXELS)):
        with pytest.raises(InputError, match=r"model.keras: is no Keras model"):
            read(model)


def test_no_model(tmp_path: Path) -> None:
    for read in (about, lambda path: logits(path, PIXELS)):
        with pytest.raises(InputError, match=r"model.keras: no such file$"):
            read(tmp_path / "model.keras")

"""A model file applied to images, and files that are no model."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import keras_bytes
from pipeline.errors import InputError
from pipeline.training.inference import about, predict
from tests.training.support import images, network

PIXELS = images(5).images


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(keras_bytes(network(), {"class_names": ["left", "right"]}))
    return path


def test_the_logits_are_the_network_s(model: Path) -> None:
    np.testing.assert_allclose(predict(model, PIXELS), network()(PIXELS), atol=1e-6)


def test_a_model_says_what_it_is_about(model: Path) -> None:
    assert about(model)["class_names"] == ["left", "right"]


def test_images_of_another_size(model: Path) -> None:
    with pytest.raises(InputError, match=r"takes images of \(4, 4\) pixels, found \(4, 3\)"):
        predict(model, PIXELS[:, :, :3])


def test_a_damaged_model(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-100])
    for read in (about, lambda path: predict(path, PIXELS)):
        with pytest.raises(InputError, match=r"model.keras: is no Keras model"):
            read(model)


def test_no_model(tmp_path: Path) -> None:
    for read in (about, lambda path: predict(path, PIXELS)):
        with pytest.raises(InputError, match=r"model.keras: no such file$"):
            read(tmp_path / "model.keras")

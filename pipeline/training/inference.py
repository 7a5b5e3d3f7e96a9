"""A model file applied to images, and what it says of itself."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError, IntegrityError
from pipeline.training import backend

BATCH = 2000  # images at once


def about(model: Path) -> dict[str, Any]:
    """What the metadata of `model`, a `.keras` file, says.

    `class_names` are the names of its outputs, `largest_pixel` is the value of full intensity. A
    file that this pipeline did not write may lack them.

    Raises:
        InputError: it is not such a file.
    """
    try:
        with zipfile.ZipFile(model) as members:
            return dict(json.loads(members.read("metadata.json")))
    except FileNotFoundError as error:
        raise InputError(f"{model}: no such file") from error
    except (OSError, ValueError, TypeError, LookupError, zipfile.BadZipFile) as error:
        raise InputError(f"{model}: is no Keras model ({error})") from error


def predict(model: Path, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The model's logits, (N, classes), for `images`, (N, height, width).

    Args:
        model: a `.keras` file, raw pixels to logits.
        images: raw pixels.

    Raises:
        InputError: there is no model, it cannot be read, or it takes other images.
        IntegrityError: its outputs are not finite.
    """
    if not model.is_file():
        raise InputError(f"{model}: no such file")
    backend.start()
    import keras

    try:
        network = keras.models.load_model(model, compile=False)
        shape = tuple(network.input_shape[1:])
    except Exception as error:  # whatever Keras raises for a file that is damaged or made to be odd
        raise InputError(f"{model}: is no Keras model ({_first_line(error)})") from error
    if shape != images.shape[1:]:
        raise InputError(f"{model}: takes images of {shape} pixels, found {images.shape[1:]}")
    network.compile(jit_compile=False)  # XLA would take longer to compile than this takes
    logits = np.asarray(network.predict(images, batch_size=BATCH, verbose=0), dtype=np.float64)
    if not np.isfinite(logits).all():
        raise IntegrityError(f"{model}: its outputs are not finite, so its weights are damaged")
    return logits


def _first_line(error: Exception) -> str:
    """The first line of a message, which Keras fills with the configuration of the model."""
    lines = f"{error}".split("\n")
    return lines[0][:200] or type(error).__name__

"""A model file applied to images, here or on a cluster, and what it says of itself."""

import json
import math
import tempfile
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline import tasks
from pipeline.data.split import in_pieces
from pipeline.data.store import RemoteImages
from pipeline.errors import InputError, IntegrityError
from pipeline.training import backend

if TYPE_CHECKING:
    import keras

PART = 2**25  # bytes of images and logits in a part of several batches


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


def input_shape(model: Path) -> tuple[int, ...]:
    """The shape of an image that `model` takes, (height, width) or (height, width, 3).

    Raises:
        InputError: it is no such model.
    """
    try:
        with zipfile.ZipFile(model) as members:
            config = json.loads(members.read("config.json"))
        return tuple(config["config"]["layers"][0]["config"]["batch_shape"][1:])
    except (OSError, ValueError, TypeError, LookupError, zipfile.BadZipFile) as error:
        raise InputError(f"{model}: is no Keras model of layers ({error})") from error


def predict(model: Path, images: NDArray[np.uint8], classes: int) -> Iterator[NDArray[np.float64]]:
    """The model's logits for `images`, part by part, because all may not fit in memory.

    If RAY_ADDRESS names a cluster, its nodes compute them, in the same batches.

    Args:
        model: a `.keras` file, raw pixels to logits.
        images: raw pixels, (N, height, width) or (N, height, width, 3).
        classes: how many there are.

    Returns:
        (M, classes) for the next M images, each.

    Raises:
        InputError: there is no model, it cannot be read, it takes other images, or it has been made
            for another number of classes.
        IntegrityError: its outputs are not finite.
        PipelineError: images in a store cannot be read, or the cluster does not answer.
    """
    network = load(model, images.shape[1:])
    if not tasks.address():
        return outputs(network, images, classes, str(model))
    return tasks.in_order(_score, _batches(images), model.read_bytes(), classes, str(model))


def _batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The images of each batch; if they are in a store, what reads them there."""
    batch = backend.images_at_once(images.shape[1:])
    for start in range(0, len(images), batch):
        stop = min(start + batch, len(images))
        if isinstance(images, RemoteImages):
            yield images.section(start, stop)
        else:
            yield np.array(images[start:stop])


def _score(images: NDArray[np.uint8], model: bytes, classes: int, name: str) -> NDArray[np.float64]:
    """The logits for the images of a batch, of a model that has come from another machine."""
    (logits,) = outputs(_received(model, images.shape[1:]), images, classes, name)
    return logits


@lru_cache(maxsize=1)
def _received(model: bytes, shape: tuple[int, ...]) -> "keras.Model":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.keras")
        path.write_bytes(model)
        return load(path, shape)


def outputs(
    network: "keras.Model", images: NDArray[np.uint8], classes: int, name: str
) -> Iterator[NDArray[np.float64]]:
    """The same of a network that `load` returned; `name` is what messages call it."""
    batch = backend.images_at_once(images.shape[1:])
    of_a_batch = batch * (math.prod(images.shape[1:]) + classes * np.dtype(np.float64).itemsize)
    step = batch * max(1, PART // of_a_batch)
    for part in in_pieces(images, step):
        found = network.predict(part, batch_size=batch, verbose=0)
        logits = np.asarray(found, dtype=np.float64)
        if logits.shape[1:] != (classes,):
            raise InputError(
                f"{name}: found an output of shape {logits.shape[1:]}, expected a value for each "
                f"of {classes} classes"
            )
        if not np.isfinite(logits).all():
            raise IntegrityError(f"{name}: its outputs are not finite, so its weights are damaged")
        yield logits


def load(model: Path, shape: tuple[int, ...]) -> "keras.Model":
    """The network in `model`.

    Args:
        model: a `.keras` file.
        shape: of the images that it must take.

    Raises:
        InputError: there is no model, it cannot be read, or it takes other images.
    """
    if not model.is_file():
        raise InputError(f"{model}: no such file")
    backend.start()
    import keras

    try:
        network = keras.models.load_model(model, compile=False)
        expected = tuple(network.input_shape[1:])
    except Exception as error:  # whatever Keras raises for a file that is damaged or made to be odd
        raise InputError(f"{model}: is no Keras model ({_first_line(error)})") from error
    if shape != expected:
        raise InputError(f"{model}: takes images of {expected} pixels, found {shape}")
    network.compile(jit_compile=False)  # XLA would take longer to compile than this takes
    return network


def _first_line(error: Exception) -> str:
    """The first line of a message, which Keras fills with the configuration of the model."""
    lines = f"{error}".split("\n")
    return lines[0][:200] or type(error).__name__

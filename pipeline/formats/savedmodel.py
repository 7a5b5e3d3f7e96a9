"""TensorFlow's SavedModel, a folder: for TensorFlow Serving and other servers."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import json_bytes
from pipeline.formats.format import ABOUT, INPUT, OUTPUT, Run

if TYPE_CHECKING:
    import keras

NAME = "SavedModel"
SUFFIX = ""
PRECISIONS: tuple[str, ...] = ("float32",)
PACKAGES: tuple[str, ...] = ()

EXTRA = "assets.extra"  # the folder for files that TensorFlow leaves alone
FILES = {
    f"{EXTRA}/{ABOUT}",
    "fingerprint.pb",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
}


def write(network: "keras.Model", _precision: str, about: Mapping[str, Any], path: Path) -> None:
    """Writes `network`, see `exportable`, to the new folder `path`.

    Its signature `serving_default` is what servers call. `about` becomes a file in assets.extra.
    """
    network.export(path, format="tf_saved_model", verbose=False)
    (path / EXTRA).mkdir()
    (path / EXTRA / ABOUT).write_bytes(json_bytes(about))


def load(path: Path) -> Run:
    """What the model in the folder computes."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        serve = loaded.signatures["serving_default"]
        return np.asarray(serve(**{INPUT: tf.constant(images)})[OUTPUT])

    return logits


def about(path: Path) -> dict[str, Any]:
    """What `write` said in the folder; nothing if it did not write everything in it."""
    with suppress(OSError, ValueError, TypeError):
        said = dict(json.loads((path / EXTRA / ABOUT).read_bytes()))
        files = {str(one.relative_to(path)) for one in path.rglob("*") if not one.is_dir()}
        return said if files <= FILES else {}
    return {}

"""LiteRT, formerly TensorFlow Lite: for phones and other small devices.

Keras writes the file with the converter that comes with TensorFlow, litert-quantizer stores its
weights in fewer bits, and ai-edge-litert runs it.
"""

import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import ZIP_EPOCH
from pipeline.formats.format import ABOUT, INPUT, OUTPUT, Run
from pipeline.training.backend import native_stderr_withheld

if TYPE_CHECKING:
    import keras

NAME = "LiteRT"
SUFFIX = ".tflite"
PRECISIONS: tuple[str, ...] = ("float32", "float16", "int8")
PACKAGES: tuple[str, ...] = ("ai_edge_litert", "litert_quantizer")


def write(network: "keras.Model", precision: str, about: Mapping[str, Any], path: Path) -> None:
    """Converts `network`.

    With float16 the weights are stored in half the bytes, and computation is in float32. With int8
    each filter or neuron has a scale for its weights, and activations are rounded while it runs.

    Args:
        network: see `exportable`.
        precision: one of PRECISIONS.
        about: goes into the file as a member of a zip archive that follows the model, which is
            where TensorFlow Lite's metadata keep files. `unzip` shows it.
        path: of the new file.
    """
    network.export(path, format="litert", verbose=False)
    if precision != "float32":
        _quantize(path, precision)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(ABOUT, ZIP_EPOCH), json.dumps(about, sort_keys=True))


def _quantize(path: Path, precision: str) -> None:
    from litert_quantizer.algorithm_manager import AlgorithmName
    from litert_quantizer.qtyping import TFLOperationName
    from litert_quantizer.quantizer import Quantizer

    quantizer = Quantizer(path.read_bytes())
    every = (".*", TFLOperationName.ALL_SUPPORTED)
    if precision == "float16":
        quantizer.add_weight_only_config(
            *every, num_bits=16, algorithm_key=AlgorithmName.FLOAT_CASTING
        )
    else:
        quantizer.add_dynamic_config(*every, num_bits=8)
    result = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False)
    path.write_bytes(result.quantized_model)


def load(path: Path) -> Run:
    """What the file computes."""
    with native_stderr_withheld():  # it says that it uses XNNPACK
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path))
        run = interpreter.get_signature_runner()
        run(**{INPUT: np.zeros(run.get_input_details()[INPUT]["shape"], np.uint8)})

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = run(**{INPUT: images})[OUTPUT]
        return found

    return logits


def about(path: Path) -> dict[str, Any]:
    """What `write` said in the file at `path`; nothing if it did not write it."""
    damage = (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile)
    with suppress(*damage), zipfile.ZipFile(path) as archive:
        return dict(json.loads(archive.read(ABOUT)))
    return {}

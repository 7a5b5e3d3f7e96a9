"""ONNX: for ONNX Runtime, in many languages and in browsers, and for Triton.

Keras writes the file through tf2onnx, onnx edits it, and onnxruntime quantizes and runs it.
"""

import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.formats.format import ABOUT, INPUT, OUTPUT, Run
from pipeline.training.backend import native_stderr_withheld

if TYPE_CHECKING:
    import keras
    from onnx import ModelProto, NodeProto

NAME = "ONNX"
SUFFIX = ".onnx"
PRECISIONS: tuple[str, ...] = ("float32", "float16", "int8")
PACKAGES: tuple[str, ...] = ("onnx", "onnxruntime", "tf2onnx")

KEY = Path(ABOUT).stem  # in the metadata


def write(network: "keras.Model", precision: str, about: Mapping[str, Any], path: Path) -> None:
    """Converts `network`.

    With float16 the weights are stored in half the bytes, and computation is in float32. With int8
    the weights of a layer have one scale, and so have its inputs, of all images of a batch: it
    follows from their range.

    Args:
        network: see `exportable`.
        precision: one of PRECISIONS.
        about: goes into `metadata_props`.
        path: of the new file.
    """
    import onnx

    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # tf2onnx's np.object
        network.export(path, format="onnx", verbose=False)
    model = onnx.load(path)
    _rename(model)
    if precision == "float16":
        _halve(model)
    if precision == "int8":
        model = _in_int8(model, path)
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=json.dumps(about, sort_keys=True))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def _rename(model: "ModelProto") -> None:
    """Makes the bytes stable: tf2onnx counts its own names in an order that differs by process."""
    numbers: dict[str, str] = {}

    def renamed(name: str) -> str:
        return re.sub(
            r"__(\d+)", lambda match: numbers.setdefault(match[0], f"__{len(numbers) + 1}"), name
        )

    for node in model.graph.node:
        node.name = renamed(node.name)
        for names in (node.input, node.output):
            names[:] = [renamed(name) for name in names]
    for weights in model.graph.initializer:
        weights.name = renamed(weights.name)
    model.graph.initializer.sort(key=lambda weights: weights.name)
    for images in (*model.graph.input, *model.graph.output):
        images.type.tensor_type.shape.dim[0].dim_param = "N"


def _halve(model: "ModelProto") -> None:
    """Stores each array of float32 as float16, and casts it where it is used."""
    from onnx import TensorProto, helper, numpy_helper

    casts: list[NodeProto] = []
    for weights in model.graph.initializer:
        if weights.data_type == TensorProto.FLOAT and weights.dims:
            name, halved = weights.name, f"{weights.name}_float16"
            values = numpy_helper.to_array(weights).astype(np.float16)
            weights.CopyFrom(numpy_helper.from_array(values, halved))
            casts.append(helper.make_node("Cast", [halved], [name], name, to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _in_int8(model: "ModelProto", path: Path) -> "ModelProto":
    """With unsigned weights: sums of signed ones overflow on processors without VNNI."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _without_advice():
        quantize_dynamic(model, path, weight_type=QuantType.QUInt8)
    return onnx.load(path)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Withholds what onnxruntime's quantization logs: that a model might be optimized before."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def load(path: Path) -> Run:
    """What the file computes."""
    with native_stderr_withheld():  # it says which GPUs it does not find
        from onnxruntime import InferenceSession

        session = InferenceSession(path, providers=["CPUExecutionProvider"])

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        (found,) = session.run([OUTPUT], {INPUT: images})
        return np.asarray(found)

    return logits


def about(path: Path) -> dict[str, Any]:
    """What `write` said in the file at `path`; nothing if it did not write it."""
    import onnx
    from google.protobuf.message import DecodeError

    with suppress(OSError, ValueError, LookupError, TypeError, DecodeError):
        properties = onnx.load(path, load_external_data=False).metadata_props
        return dict(json.loads({one.key: one.value for one in properties}[KEY]))
    return {}

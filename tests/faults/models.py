"""models/model.keras is not the model that train wrote."""

import json
import zipfile
from io import BytesIO

import numpy as np

from pipeline.artifacts import keras_bytes
from pipeline.training import backend, inference
from tests.faults.fault import Fault, Prepare, change, nightly, remove, stage, write
from tests.support import Workspace

PATH = "models/model.keras"
IS_NONE = "models/model.keras: is no Keras model ("


def _repacked(content: bytes, **members: bytes | None) -> bytes:
    """A `.keras` file with other members; None leaves one out."""
    packed = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            new = members.get(name.split(".")[0], source.read(name))
            if new is not None:
                target.writestr(name, new)
    return packed.getvalue()


def _bad(what: str, content: bytes) -> Fault:
    prepare = change(PATH, lambda _: content)
    return Fault(f"evaluate: the model {what}", stage("evaluate"), 2, IS_NONE, prepare)


def _changed(what: str, line: str, **members: bytes | None) -> Fault:
    return Fault(
        f"evaluate: the model {what}",
        stage("evaluate"),
        2,
        line,
        change(PATH, lambda content: _repacked(content, **members)),
    )


def with_nan(workspace: Workspace) -> None:
    """Makes every weight of the model NaN."""
    backend.start()
    import keras

    network = keras.models.load_model(workspace.root / PATH, compile=False)
    network.set_weights([np.full_like(weights, np.nan) for weights in network.get_weights()])
    about = inference.about(workspace.root / PATH)
    kept = {key: about[key] for key in ("class_names", "largest_pixel", "prepare")}
    write(PATH, keras_bytes(network, kept))(workspace)


def _made(shape: tuple[int, ...], outputs: int, *, code: bool = False) -> Prepare:
    """A model of other images, with other outputs, or with Python code in it."""

    def prepare(workspace: Workspace) -> None:
        backend.start()
        import keras

        layers = [
            keras.Input(shape, dtype="uint8"),
            *([keras.layers.Lambda(lambda pixels: pixels, output_shape=shape)] if code else []),
            keras.layers.Flatten(),
            keras.layers.Dense(outputs),
        ]
        write(PATH, keras_bytes(keras.Sequential(layers), {}))(workspace)

    return prepare


FAULTS = [
    Fault(
        "evaluate: the model is missing",
        stage("evaluate"),
        2,
        "models/model.keras: no such file; run dvc repro",
        remove(PATH),
    ),
    _bad("is empty", b""),
    _bad("is a text", b"hello\n" * 100),
    Fault(
        "evaluate: the model is cut off",
        stage("evaluate"),
        2,
        IS_NONE,
        change(PATH, lambda content: content[:-100]),
    ),
    nightly(_changed("has no weights", IS_NONE, model=None)),
    _changed("has no configuration", IS_NONE, config=None),
    _changed("has damaged weights", IS_NONE, model=b"\x89HDF\r\n\x1a\n" + bytes(100)),
    _changed("has a configuration that is none", IS_NONE, config=b"[]"),
    nightly(_changed("has a configuration of a number", IS_NONE, config=b"3")),
    _changed(
        "has a configuration without end",
        IS_NONE,
        config=(b'{"config":' * 5000 + b"1" + b"}" * 5000),
    ),
    nightly(
        _changed(
            "has a configuration that names another class",
            IS_NONE,
            config=json.dumps({"module": "os", "class_name": "system", "config": {}}).encode(),
        )
    ),
    _changed("has damaged metadata", IS_NONE, metadata=b"{"),
    Fault(
        "evaluate: the model has weights that are not numbers",
        stage("evaluate"),
        4,
        "models/model.keras: its outputs are not finite, so its weights are damaged",
        with_nan,
    ),
    Fault(
        "evaluate: the model takes images of another size",
        stage("evaluate"),
        2,
        "models/model.keras: takes images of (3, 3) pixels, found (8, 8); run dvc repro",
        _made((3, 3), 10),
    ),
    Fault(
        "evaluate: the model distinguishes fewer classes",
        stage("evaluate"),
        2,
        "models/model.keras: found an output of shape (3,), expected a value for each of 10",
        _made((8, 8), 3),
        nightly=True,
    ),
    Fault(
        "evaluate: the model contains Python code",
        stage("evaluate"),
        2,
        IS_NONE,
        _made((8, 8), 10, code=True),
    ),
    _changed(
        "was trained on other classes",
        "was trained on the classes a, b, expected those of the test images, 0, 1",
        metadata=json.dumps({"class_names": ["a", "b"]}).encode(),
    ),
    Fault(
        "page: there is no model",
        stage("page"),
        2,
        "page: models/model.keras: no such file",
        remove(PATH),
    ),
    Fault(
        "page: the model is one of other pictures than handwritten digits",
        stage("page"),
        2,
        "models/model.keras: is no model for handwritten digits, as its pictures are prepared by",
    ),
]

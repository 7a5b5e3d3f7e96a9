"""The model is exported to SavedModel, and something is not as it should be."""

import errno
import signal

from pipeline.artifacts import json_bytes
from tests.faults.fault import Fault, Prepare, change, nothing, remove, shell, strike, write
from tests.faults.models import PATH, with_nan

COMMAND = "python -m pipeline.export --format savedmodel"
OUT = "models/saved_model"
ABOUT = "data/processed/test/about.json"
FULL = "No space left on device; make room, then run it again"


def _fault(
    what: str,
    code: int,
    line: str,
    prepare: Prepare = nothing,
    *,
    variables: dict[str, str] | None = None,
    undo: Prepare = nothing,
    nightly: bool = True,
) -> Fault:
    return Fault(
        f"export: {what}",
        COMMAND,
        code,
        line,
        prepare,
        variables or {},
        undo=undo,
        nightly=nightly,
    )


FAULTS = [
    _fault("the model is missing", 2, f"{PATH}: no such file", remove(PATH)),
    _fault("the model is damaged", 2, f"{PATH}: is no Keras model (", change(PATH, lambda _: b"x")),
    _fault(
        "the model has weights that are not numbers",
        4,
        f"{PATH}: its outputs are not finite, so its weights are damaged",
        with_nan,
    ),
    _fault(
        "the test images are missing",
        2,
        "the exported file is checked on the test images, which dvc repro makes",
        shell("rm -r data/processed/test"),
    ),
    _fault(
        "the test images are of other classes",
        2,
        "data/processed/test: found images of the classes a, b, expected those of models/model.k",
        write(
            ABOUT,
            json_bytes({"class_names": ["a", "b"], "largest_pixel": 16, "prepare": "pad"}),
        ),
    ),
    _fault(
        "a folder of the user is in the way",
        2,
        f"{OUT}: exists and was not made by this program, so it is not replaced; move it away",
        write(f"{OUT}/notes.txt", "mine"),
        undo=shell(f"rm -r {OUT}"),
    ),
    _fault(
        "the disk is full while the weights are written",
        6,
        FULL,
        variables=strike("write", "/variables/", error=errno.ENOSPC),
        nightly=False,
    ),
    _fault(
        "the disk is full when the folder takes its place",
        6,
        FULL,
        variables=strike("rename", OUT, error=errno.ENOSPC),
    ),
    _fault(
        "Ctrl-C while the graph is written",
        130,
        "",
        variables=strike("write", "saved_model.pb", signal=signal.SIGINT),
        nightly=False,
    ),
    _fault(
        "SIGTERM while the folder takes its place",
        143,
        "",
        variables=strike("fsync", ".saved_model.tmp", signal=signal.SIGTERM),
    ),
]

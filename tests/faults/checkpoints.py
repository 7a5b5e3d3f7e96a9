"""The checkpoint of an interrupted training is damaged or odd."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.faults.fault import Fault, nightly, remove, shell, stage
from tests.support import Workspace

FOLDER = ".pipeline/checkpoints"


def _interrupt(workspace: Workspace) -> Path:
    """Stops a training after its first epoch, and returns its checkpoint."""
    (workspace.root / "models/model.keras").rename(workspace.root / "model")
    training = workspace.start("python", "-m", "pipeline.train", stdout=subprocess.PIPE)
    assert training.stdout
    with training.stdout as output:
        for line in output:
            if line.startswith("epoch 2"):  # the first is on the disk by then
                training.send_signal(signal.SIGKILL)
    training.wait()
    (workspace.root / "model").rename(workspace.root / "models/model.keras")
    (checkpoint,) = (workspace.root / FOLDER).glob("*.checkpoint")
    return checkpoint


def _damaged(what: str, how: Callable[[Path], object], line: str) -> Fault:
    return Fault(
        f"train: the checkpoint {what}",
        stage("train"),
        0,
        line,
        lambda workspace: how(_interrupt(workspace)),
    )


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    (path / "inner").mkdir(parents=True)


def _replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


FAULTS = [
    nightly(_damaged("is whole", lambda path: path.touch(), "resuming after epoch")),
    nightly(_damaged("is empty", lambda path: path.write_bytes(b""), "ignored, it is damaged")),
    _damaged(
        "is cut off",
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        "ignored, it is damaged",
    ),
    _damaged("has one flipped bit", _flip, "ignored, it is damaged"),
    nightly(_damaged("is a folder", _replace_by_folder, "ignored, it is damaged")),
    nightly(_damaged("is a link to nowhere", _replace_by_link, "ignored, it is damaged")),
    nightly(
        _damaged(
            "of another training has its name",
            lambda path: path.write_bytes(path.read_bytes()[:32][::-1] + path.read_bytes()[32:]),
            "ignored, it is damaged",
        )
    ),
    Fault(
        "train: a file is in the place of the folder of checkpoints",
        stage("train"),
        6,
        f"{FOLDER}: File exists; something else is in its place, move it away, then run it again",
        shell(f"rm -rf {FOLDER}; echo text > {FOLDER}"),
        undo=remove(FOLDER),
    ),
]

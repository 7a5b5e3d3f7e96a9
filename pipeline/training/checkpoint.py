"""The state of a training after its last finished epoch, from which a killed one resumes.

A checkpoint is not a DVC output: DVC removes those before a stage runs. Its name is a digest of
everything that determines the weights, so no other training takes it for its own.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import remove, write_files

SUFFIX = ".checkpoint"
DIGEST_SIZE = hashlib.sha256().digest_size  # bytes
ABANDONED = 3  # checkpoints of other trainings to keep, in case one of them is resumed


@dataclass(frozen=True)
class State:
    """What a training needs to resume."""

    variables: list[NDArray[Any]]  # of the network and the optimizer
    history: dict[str, list[float]]  # a value for each finished epoch

    def to_bytes(self, training: str = "") -> bytes:
        """As a NumPy archive, which says of which `training` it is."""
        arrays = BytesIO()
        np.savez(
            arrays,
            *self.variables,
            training=np.array(training),
            names=np.array(list(self.history)),
            history=np.array(list(self.history.values()), dtype=np.float64),
        )
        return arrays.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` made."""
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            names, values = arrays["names"].tolist(), arrays["history"].tolist()
            variables = [arrays[name] for name in arrays.files if name.startswith("arr_")]
        return cls(variables, dict(zip(names, values, strict=True)))


class Checkpoint:
    """The file that holds the state of one training: a digest of its content, then the content."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Names the file in `folder` by `identity`, JSON values that determine the weights."""
        self.digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.path = folder / f"{self.digest[:16]}{SUFFIX}"

    def save(self, state: State) -> None:
        """Replaces the previous state once this one is on disk."""
        content = state.to_bytes(self.digest)
        write_files({self.path: hashlib.sha256(content).digest() + content})

    def load(self) -> State | None:
        """The saved state, or None; a damaged file, or another training's, is ignored."""
        if not os.path.lexists(self.path):
            return None
        stored = self.path.read_bytes() if self.path.is_file() else b""
        digest, content = stored[:DIGEST_SIZE], stored[DIGEST_SIZE:]
        if hashlib.sha256(content).digest() != digest:
            print(f"{self.path}: ignored, it is damaged")
            remove(self.path)
            return None
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            training = str(arrays["training"])
        if training != self.digest:
            print(f"{self.path}: ignored, it belongs to another training")
            return None
        return State.from_bytes(content)

    def remove(self) -> None:
        """Deletes the state."""
        remove(self.path)

    def remove_abandoned(self) -> None:
        """Deletes the oldest checkpoints of other trainings, except the last few."""
        others = [path for path in self.path.parent.glob(f"*{SUFFIX}") if path != self.path]
        others.sort(key=lambda path: (path.stat().st_mtime_ns, path.name))
        for path in others[:-ABANDONED]:
            remove(path)


class SaveCheckpoint(keras.callbacks.Callback):
    """Saves the state of a training after every epoch."""

    def __init__(self, checkpoint: Checkpoint, variables: list[keras.Variable]) -> None:
        """Saves to `checkpoint` the values of `variables`, all that a step changes."""
        super().__init__()
        self.checkpoint = checkpoint
        self.variables = variables
        self.history: dict[str, list[float]] = {}

    def restore(self) -> dict[str, list[float]]:
        """Assigns the saved values, if there are any.

        Returns:
            The history of the finished epochs, empty at the start.
        """
        state = self.checkpoint.load()
        if state:
            for variable, value in zip(self.variables, state.variables, strict=True):
                variable.assign(value)
            self.history = state.history
            epochs = len(self.history["loss"])
            print(f"resuming after epoch {epochs}, from {self.checkpoint.path}")
        return {name: list(values) for name, values in self.history.items()}

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:  # noqa: ARG002
        """Called by Keras."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        values = [variable.numpy() for variable in self.variables]
        self.checkpoint.save(State(values, self.history))

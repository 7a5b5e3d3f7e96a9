"""The state of a training after its last finished epoch, so that a killed one goes on from there.

A checkpoint is no output of DVC's, which removes those before a stage runs. It is named by a digest
of all that decides the weights, so that no other training takes it for its own.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.artifacts import replacing


@dataclass(frozen=True)
class State:
    """What a training needs in order to go on."""

    variables: list[NDArray[Any]]  # of the network and of the optimizer
    history: dict[str, list[float]]  # a value for each finished epoch


class Checkpoint:
    """A place for the state of one training."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Names the file in `folder` by `identity`, JSON values that decide the weights."""
        self.digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.path = folder / f"{self.digest[:16]}.npz"

    def save(self, state: State) -> None:
        """Replaces the previous state, once this one is whole."""
        with replacing(self.path) as (temporary,), temporary.open("wb") as file:
            np.savez(
                file,
                *state.variables,
                digest=np.array(self.digest),
                names=np.array(list(state.history)),
                history=np.array(list(state.history.values()), dtype=np.float64),
            )

    def load(self) -> State | None:
        """The saved state, or None; a file that is damaged or another training's is left alone."""
        if not self.path.is_file():
            return None
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                members = {name: content[name] for name in content.files}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            print(f"{self.path}: ignored, it is damaged ({error})")
            return None
        if str(members.pop("digest", "")) != self.digest:
            print(f"{self.path}: ignored, it belongs to another training")
            return None
        history = dict(
            zip(members.pop("names").tolist(), members.pop("history").tolist(), strict=True)
        )
        return State([members[f"arr_{number}"] for number in range(len(members))], history)

    def remove(self) -> None:
        """Forgets the state."""
        self.path.unlink(missing_ok=True)

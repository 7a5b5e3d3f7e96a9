"""What a model file says of itself: its classes, and how pictures are prepared for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pipeline import paths
from pipeline.data.prepare import Preparation, Recipe
from pipeline.errors import InputError
from pipeline.training import inference

CONFIDENCE = 0.9  # an answer of a lower probability is called unsure

RECIPES: dict[str, Recipe] = {recipe: recipe for recipe in get_args(Recipe)}


@dataclass(frozen=True)
class ModelFile:
    """A `.keras` file that `train` has made."""

    path: Path
    name: str  # for messages
    class_names: tuple[str, ...]
    largest_pixel: int  # what counts as full intensity
    preparation: Preparation
    about: dict[str, Any]  # all that it says

    @classmethod
    def read(cls, path: Path, name: str = "") -> "ModelFile":
        """What the file at `path` says, without loading the network.

        Args:
            path: the file.
            name: what to call it in messages, if not by its path.

        Raises:
            InputError: it is no model, or does not say what models of this version say.
        """
        if path == paths.MODEL and not path.exists():
            raise InputError(f"{path}: no such file; make repro makes it")
        about, name = inference.about(path), name or str(path)
        try:
            names, largest = tuple(about["class_names"]), int(about["largest_pixel"])
            recipe = RECIPES[about["prepare"]]
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(
                f"{name}: does not say its classes, or how pictures are prepared for it, as models "
                f"of this version do; dvc repro makes a new one"
            ) from error
        height, width, *colour = inference.input_shape(path)
        preparation = Preparation(height, width, 3 if colour else 1, recipe)
        return cls(path, name, names, largest, preparation, about)

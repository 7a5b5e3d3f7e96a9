"""What params.yaml may say: every key, its type and its range; nothing else is allowed.

`python -m pipeline.params` prints the JSON Schema by which an editor completes and checks the file.
"""

import json
import re
from collections.abc import Hashable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from pipeline.errors import InputError


class Section(BaseModel):
    """A mapping in params.yaml: no unknown key, no value of another type, no change later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


S = TypeVar("S", bound=Section)
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Units = Annotated[int, Field(ge=1, le=8192)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


class Dataset(Section):
    """Which images."""

    name: str = Field(description="a row of pipeline/datasets.py, such as mnist")


class Preprocess(Section):
    """How they are divided."""

    validation: Count | Share | Literal["test"] = Field(
        description="a count from 1 or a share between 0 and 1 of the training images, held out;"
        " or test: train on all of them and validate on the test images",
    )
    seed: Seed = Field(description="a whole number from 0 to 4294967295, which chooses them")


HIDDEN_UNITS = (
    "a list of up to 16 whole numbers from 1 to 8192, neurons of each fully connected hidden layer"
)
DROPOUT = "a number from 0 and below 1, the share of hidden neurons left out in a step"


class Mlp(Section):
    """A network of fully connected layers."""

    name: Literal["mlp"] = Field(description="mlp")
    filters: list[Units] = Field(
        max_length=0, exclude=True, description="[] where model.name is mlp"
    )
    hidden_units: list[Units] = Field(max_length=16, description=HIDDEN_UNITS)
    dropout: Dropout = Field(description=DROPOUT)


class Cnn(Section):
    """A network of convolutions, then fully connected layers."""

    name: Literal["cnn"] = Field(description="cnn")
    filters: list[Units] = Field(
        min_length=1,
        max_length=8,
        description="a list of 1 to 8 whole numbers from 1 to 8192, filters of each convolution",
    )
    hidden_units: list[Units] = Field(max_length=16, description=HIDDEN_UNITS)
    dropout: Dropout = Field(description=DROPOUT)


Model = Mlp | Cnn


class Augment(Section):
    """How far the training images are moved at random, anew in every epoch."""

    shift: int = Field(
        ge=0, le=100, description="a whole number from 0 to 100, pixels along each axis"
    )
    rotation: float = Field(
        ge=0, le=180, description="a number from 0 to 180, degrees about the centre"
    )
    zoom: float = Field(
        ge=0, le=0.9, description="a number from 0 to 0.9, the share larger or smaller"
    )
    flip: bool = Field(description="true or false, mirror half of them, left for right")


class Train(Section):
    """How it learns."""

    epochs: int = Field(
        ge=1,
        le=10_000,
        description="a whole number from 1 to 10000, passes over the training images",
    )
    batch_size: int = Field(
        ge=1, le=65_536, description="a whole number from 1 to 65536, images in a step"
    )
    drop_last: bool = Field(
        description="true or false, leave out the last batch of an epoch where it is smaller"
    )
    optimizer: Literal["adam", "sgd"] = Field(description="adam or sgd")
    learning_rate: float = Field(
        gt=0,
        le=10,
        allow_inf_nan=False,
        description="a number above 0 and up to 10, the size of a step",
    )
    schedule: Literal["constant", "cosine"] = Field(description="constant or cosine")
    warmup_epochs: int = Field(
        ge=0, description="a whole number from 0 and below epochs, in which the rate rises from 0"
    )
    weight_decay: float = Field(
        ge=0,
        lt=1,
        description="a number from 0 and below 1, the share of a weight that a step takes off,"
        " times its rate",
    )
    label_smoothing: float = Field(
        ge=0,
        lt=1,
        description="a number from 0 and below 1, the share of certainty spread over all classes",
    )
    seed: Seed = Field(
        description="a whole number from 0 to 4294967295, which draws weights, orders and noise"
    )

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.warmup_epochs and self.schedule == "constant":
            raise ValueError(
                f"train.warmup_epochs: found {self.warmup_epochs}, expected 0 where train.schedule "
                f"is constant"
            )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"train.warmup_epochs: found {self.warmup_epochs}, expected fewer than "
                f"train.epochs, {self.epochs}"
            )
        return self


class Evaluate(Section):
    """How it is judged."""

    calibration_bins: int = Field(
        ge=1, le=1000, description="a whole number from 1 to 1000, bins of confidence"
    )
    mistakes: int = Field(
        ge=1, le=100, description="a whole number from 1 to 100, the worst ones to draw"
    )


Accuracy = Annotated[float, Field(ge=0, le=1)]


class Gate(Section):
    """What a new model must reach to replace the old one."""

    floor: Accuracy = Field(description="a number from 0 to 1, the least accuracy")
    class_floors: dict[str, Accuracy] = Field(
        description="a mapping of class names in quotes to numbers from 0 to 1, the least accuracy"
        " of each; {} for none",
    )
    margin: Accuracy = Field(
        description="a number from 0 to 1, the drop in accuracy that the gate must exclude"
    )
    confidence: float = Field(
        ge=0.5,
        lt=1,
        description="a number from 0.5 and below 1, with which it must exclude that drop",
    )
    seeds: Annotated[int, Field(ge=1, le=100)] = Field(
        description="a whole number from 1 to 100, models of each side; above 1 their means decide"
    )
    margin_seeds: Accuracy = Field(
        description="a number from 0 to 1, the drop of the mean that the gate must exclude"
    )


class Params(Section):
    """The whole of params.yaml, a section for each concern."""

    dataset: Dataset
    preprocess: Preprocess
    model: Model = Field(discriminator="name")
    train: Train
    augment: Augment
    evaluate: Evaluate
    gate: Gate


def load(path: Path) -> Params:
    """Reads and checks `path`.

    Raises:
        InputError: with a line for everything in it that is not allowed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); run from the repository's folder, "
            f"or get the file back with git restore {path}"
        ) from error
    found = parse(content, str(path))
    if not isinstance(found, dict):
        kind = "nothing" if found is None else f"a {type(found).__name__}"
        raise InputError(
            f"{path}: holds {kind}, expected sections: {', '.join(Params.model_fields)}"
        )
    return _validate(Params, found, str(path))


def parse(content: bytes, source: str) -> object:
    """What YAML says, read as DVC reads it, for params.yaml and dvc.lock.

    Args:
        content: the file.
        source: its name, for messages.

    Raises:
        InputError: it is no YAML.
    """
    try:
        return yaml.load(content.decode(), Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: is not YAML: {' '.join(str(error).split())}") from error


def gate(section: dict[str, Any], source: str) -> Gate:
    """Checks the section `gate` alone, as a gate does whose code is older or newer than the file.

    Raises:
        InputError: with a line for everything in it that is not allowed.
    """
    return _validate(Gate, section, source, "gate")


def _validate(model: type[S], content: dict[str, Any], source: str, *location: str) -> S:
    try:
        return model.model_validate(content)
    except ValidationError as failure:
        errors = failure.errors()
        misspelt = [details for details in errors if details["type"] == "extra_forbidden"]
        lines = dict.fromkeys(
            _explain(details, (*location, *details["loc"])) for details in misspelt or errors
        )
        raise InputError("\n".join(f"{source}: {line}" for line in lines)) from failure


class _Loader(yaml.SafeLoader):
    """YAML as DVC reads it: `1e-3` is a number, and no key may stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(f"{key.value} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _explain(details: ErrorDetails, location: tuple[int | str, ...]) -> str:
    """What was found where, and what is allowed there, in a line."""
    if details["type"] == "value_error":  # keys that contradict each other
        return str(details["ctx"]["error"])
    found = "nothing" if details["type"] == "missing" else repr(details["input"])
    if details["type"].startswith("union_tag"):  # the name that decides which keys there are
        found = repr(details["input"].get("name")) if isinstance(details["input"], dict) else found
        names = details.get("ctx", {}).get("expected_tags", "a name")
        return f"{location[0]}.name: found {found}, expected one of {names}"
    section: type[BaseModel] = Params
    parts = list(location)
    key = ""
    while parts:
        name = str(parts.pop(0))
        key = f"{key}.{name}".lstrip(".")
        if name not in section.model_fields:
            near = get_close_matches(name, section.model_fields, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            return f"{key}: unknown key, expected only {', '.join(section.model_fields)}{hint}"
        field = section.model_fields[name]
        if field.description:
            position = "".join(f"[{part}]" for part in parts if isinstance(part, int))
            return f"{key}{position}: found {found}, expected {field.description}"
        if field.discriminator:
            tag = parts.pop(0)
            section = next(choice for choice in get_args(field.annotation) if tag in _names(choice))
        else:
            section = cast("type[BaseModel]", field.annotation)
    return f"{key}: found {found}, expected a section: {', '.join(section.model_fields)}"


def _names(section: type[BaseModel]) -> tuple[str, ...]:
    return get_args(section.model_fields["name"].annotation)


if __name__ == "__main__":
    print(json.dumps(Params.model_json_schema(), indent=2))

"""What params.yaml may say: every key, its type and its range. Nothing else is allowed."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.errors import InputError
from pipeline.records import read_yaml
from pipeline.sections import Section, suggestion, validate

LARGEST = 100_000  # bytes of params.yaml; what is larger is no params.yaml


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Units = Annotated[int, Field(ge=1, le=8192)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Side = Annotated[int, Field(ge=1, le=4096)]
Accuracy = Annotated[float, Field(ge=0, le=1)]
HiddenUnits = Annotated[
    list[Units],
    Field(
        max_length=16,
        description="a list of up to 16 whole numbers from 1 to 8192, the neurons of each hidden"
        " layer",
    ),
]
Dropout = Annotated[
    float,
    Field(
        ge=0,
        lt=1,
        description="a number from 0 and below 1, the share of hidden neurons dropped in a step",
    ),
]


class Dataset(Section):
    """Which images."""

    name: str = Field(description="the name of a folder in data/sources, such as mnist")


class Preprocess(Section):
    """How the images are read and split."""

    size: Literal["common"] | Side | Annotated[list[Side], Field(min_length=2, max_length=2)] = (
        Field(
            description="common, the size that all images have; or the height and width to give"
            " them in pixels, from 1 to 4096, such as 64 or [48, 64]",
        )
    )
    channels: Literal["auto", 1, 3] = Field(
        description="1 for grey, 3 for colour, or auto: colour if any picture is in colour"
    )
    fit: Literal["pad", "crop", "stretch"] = Field(
        description="pad, crop or stretch, for images of another shape than preprocess.size"
    )
    test: Count | Share = Field(
        description="a count from 1 or a share between 0 and 1 of the images to hold out as the"
        " test images, where the dataset has none"
    )

    validation: Count | Share | Literal["test"] = Field(
        description="a count from 1 or a share between 0 and 1 of the training images to hold out;"
        " or test, to train on all of them and validate on the test images",
    )
    seed: Seed = Field(description="a whole number from 0 to 4294967295, which selects them")
    broken: Literal["refuse", "skip"] = Field(
        description="refuse or skip, for pictures that cannot be read"
    )
    duplicates: Literal["keep", "remove"] = Field(
        description="keep or remove, for training images that are among the validation or test"
        " images, too"
    )
    store: str = Field(
        pattern=r"^(local|[a-z][a-z0-9+]*://\S+)$",
        max_length=1000,
        description="local, to have the images in data/processed; or the URL of a folder to put"
        " them in, such as s3://bucket/folder",
    )


class Mlp(Section):
    """A network of fully connected layers."""

    hidden_units: HiddenUnits
    dropout: Dropout


class Cnn(Section):
    """A network of convolutions, followed by fully connected layers."""

    filters: list[Units] = Field(
        min_length=1,
        max_length=8,
        description="a list of 1 to 8 whole numbers from 1 to 8192, the filters of each"
        " block of convolutions",
    )
    convolutions: int = Field(
        ge=1, le=8, description="a whole number from 1 to 8, the convolutions of a block"
    )
    pooling: Literal["flatten", "average"] = Field(
        description="flatten or average, what becomes of the last block's images"
    )
    hidden_units: HiddenUnits
    dropout: Dropout


class Model(Section):
    """The architecture, and a section of settings for each one there is.

    A field here is such a section; the function of the same name is in `pipeline.training.models`.
    """

    name: str = Field(description="the name of a section beside it, such as mlp")
    mlp: Mlp
    cnn: Cnn

    @classmethod
    def architectures(cls) -> tuple[str, ...]:
        """What `name` may be."""
        return tuple(name for name in cls.model_fields if name != "name")

    @property
    def settings(self) -> Section:
        """The section of the chosen architecture."""
        section: Section = getattr(self, self.name)
        return section

    @model_validator(mode="after")
    def _name_is_known(self) -> Self:
        if self.name not in self.architectures():
            raise ValueError(
                f"model.name: found {self.name!r}, expected {' or '.join(self.architectures())}"
                f"{suggestion(self.name, self.architectures())}"
            )
        return self


class Train(Section):
    """How the network learns."""

    epochs: int = Field(
        ge=1,
        le=10_000,
        description="a whole number from 1 to 10000, passes over the training images",
    )
    batch_size: int = Field(
        ge=1, le=65_536, description="a whole number from 1 to 65536, images per step"
    )
    shards: int = Field(
        ge=1,
        le=1024,
        description="1, 2, 4, or another power of two up to 1024 and train.batch_size, the parts of"
        " a batch that workers can share",
    )
    drop_last: bool = Field(
        description="true or false, whether to skip the last batch of an epoch if it is smaller"
    )
    optimizer: Literal["adam", "sgd"] = Field(description="adam or sgd")
    momentum: float = Field(
        ge=0,
        lt=1,
        description="a number of at least 0 and below 1, the share of the last step that goes into"
        " the next one of sgd",
    )
    nesterov: bool = Field(description="true or false, whether to use Nesterov momentum")
    learning_rate: float = Field(
        gt=0,
        le=10,
        allow_inf_nan=False,
        description="a number above 0 and up to 10, the size of a step",
    )
    schedule: Literal["constant", "cosine"] = Field(description="constant or cosine")
    warmup_epochs: int = Field(
        ge=0,
        description="a whole number from 0 and below epochs, during which the rate rises from 0",
    )
    weight_decay: float = Field(
        ge=0,
        lt=1,
        description="a number from 0 and below 1; a step shrinks each weight by this share times"
        " the learning rate",
    )
    label_smoothing: float = Field(
        ge=0,
        lt=1,
        description="a number from 0 and below 1, the share of the target spread over all classes",
    )
    average: float = Field(
        ge=0,
        lt=1,
        description="a number of at least 0 and below 1, the decay of a moving average of the"
        " weights, such as 0.999, which is then scored and saved; 0 for none",
    )
    keep: Literal["last", "best"] = Field(
        description="last or best: the weights after the last epoch, or after the first of those"
        " with the highest validation accuracy"
    )
    patience: int = Field(
        ge=0,
        le=10_000,
        description="a whole number from 0 to 10000, epochs without a higher validation accuracy"
        " after which training stops; 0 for never",
    )
    class_weights: Literal["none", "balanced"] = Field(
        description="none, or balanced: in the loss an image of class c counts as N/(C*n), of N"
        " images of C classes, n of them of class c"
    )
    seed: Seed = Field(
        description="a whole number from 0 to 4294967295, which determines the initial weights, "
        "the order of the images and every other random number"
    )

    @model_validator(mode="after")
    def _shards_fit(self) -> Self:
        if self.shards.bit_count() != 1 or self.shards > self.batch_size:
            raise ValueError(
                f"train.shards: found {self.shards}, expected a power of two of at most "
                f"train.batch_size, {self.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _momentum_fits(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"train.momentum: found {self.momentum}, expected 0 where train.optimizer is "
                f"{self.optimizer}, which has its own"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("train.nesterov: found true, expected false where train.momentum is 0")
        return self

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


class Augment(Section):
    """Random augmentation of the training images, drawn afresh each epoch."""

    shift: int = Field(
        ge=0, le=100, description="a whole number from 0 to 100, pixels along each axis"
    )
    rotation: float = Field(
        ge=0, le=180, description="a number from 0 to 180, degrees about the centre"
    )
    zoom: float = Field(
        ge=0, le=0.9, description="a number from 0 to 0.9, the share by which size varies"
    )
    shear: float = Field(
        ge=0, le=80, description="a number from 0 to 80, degrees by which images may slant"
    )
    elastic: float = Field(
        ge=0,
        le=100,
        description="a number from 0 to 100, pixels along each axis by which the knots of a grid"
        " may move, at most augment.elastic_grid, with a cubic B-spline between them",
    )
    elastic_grid: int = Field(
        ge=1, le=1000, description="a whole number from 1 to 1000, pixels from one knot to the next"
    )
    flip: bool = Field(description="true or false, whether to mirror half of them left to right")
    erase: int = Field(
        ge=0,
        le=4096,
        description="a whole number from 0 to 4096, the side in pixels of a square around a random"
        " pixel that is set to 0",
    )

    @model_validator(mode="after")
    def _elastic_fits(self) -> Self:
        if self.elastic > self.elastic_grid:
            raise ValueError(
                f"augment.elastic: found {self.elastic}, expected at most augment.elastic_grid, "
                f"{self.elastic_grid}: knots would change places, and tear the image"
            )
        return self


class Evaluate(Section):
    """How the model is scored."""

    calibration_bins: int = Field(
        ge=1, le=1000, description="a whole number from 1 to 1000, bins of confidence"
    )
    mistakes: int = Field(
        ge=1, le=100, description="a whole number from 1 to 100, how many of the worst to draw"
    )


class Gate(Section):
    """What a new model must reach to replace the old one."""

    metric: Literal["accuracy", "balanced_accuracy", "macro_f1"] = Field(
        description="accuracy, balanced_accuracy or macro_f1, what floor and margin are about"
    )
    floor: Accuracy = Field(description="a number from 0 to 1, the least that it may be")
    class_floors: dict[str, Accuracy] = Field(
        description="a mapping from class names in quotes to numbers from 0 to 1, the least"
        " accuracy of each; {} for none",
    )
    margin: Accuracy = Field(
        description="a number from 0 to 1, the drop that the gate must rule out"
    )
    confidence: float = Field(
        ge=0.5,
        lt=1,
        description="a number from 0.5 and below 1, the confidence with which it must do so",
    )


class Params(Section):
    """All of params.yaml, a section for each concern."""

    dataset: Dataset
    preprocess: Preprocess
    model: Model
    train: Train
    augment: Augment
    evaluate: Evaluate
    gate: Gate

    @model_validator(mode="after")
    def _test_images_choose_nothing(self) -> Self:
        if self.preprocess.validation == "test":
            for key, off in (("keep", "last"), ("patience", 0)):
                if (found := getattr(self.train, key)) != off:
                    raise ValueError(
                        f"train.{key}: found {found}, expected {off} where preprocess.validation "
                        f"is test: test images must not choose the model"
                    )
        return self


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
            f"or restore the file: git restore {path}"
        ) from error
    if len(content) > LARGEST:
        raise InputError(f"{path}: found {len(content):,} bytes, expected at most {LARGEST:,}")
    return check(read_yaml(content, str(path)), str(path))


def check(params: object, source: str) -> Params:
    """Checks the content of a params.yaml.

    Args:
        params: nested mappings.
        source: where they come from, for messages.

    Raises:
        InputError: with a line for everything in it that is not allowed.
    """
    return validate(Params, params, source)


def check_gate(section: dict[str, Any], source: str) -> Gate:
    """Checks the `gate` section alone, which may come from an older or newer params.yaml.

    Raises:
        InputError: with a line for everything in it that is not allowed.
    """
    return validate(Gate, section, source, root=Params, location=("gate",))


def schema() -> str:
    """The JSON Schema with which an editor completes and checks params.yaml."""
    return json.dumps(Params.model_json_schema(), indent=2)

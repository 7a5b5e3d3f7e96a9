"""The pipeline for a notebook: parameters and images in, a network and its history out, no files.

    training, test = load("mnist_sample")
    params = parameters({"model.mlp.hidden_units": [128], "train.epochs": 5})
    trained = train(params, training, test)
    plot(trained.history)

docs/lesson.ipynb uses it. What it trains is the same to the bit as what `dvc repro` trains.
"""

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure

from pipeline import figures, paths
from pipeline import train as stage
from pipeline.data.datasets import find
from pipeline.data.split import Split
from pipeline.download import provide
from pipeline.errors import InputError
from pipeline.params import Params, check
from pipeline.params import load as read_params
from pipeline.preprocess import preprocess
from pipeline.train import Trained


def load(name: str) -> tuple[Split, Split]:
    """The training and the test images of a dataset; it is downloaded once.

    Raises:
        PipelineError: there is no such dataset, or no mirror has it.
    """
    dataset = find(name, "load")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        provide(dataset, raw=folder / "raw", metrics=folder / "download.json")
        sections = read_params(paths.PARAMS)
        with redirect_stdout(None):
            preprocess(
                folder / "raw",
                dataset,
                sections.preprocess.model_copy(update={"validation": "test"}),
                processed=folder / "processed",
                metrics=folder / "preprocess.json",
            )
        # Both stay mapped into memory when the files have lost their names.
        return Split.load(folder / "processed/train"), Split.load(folder / "processed/test")


def parameters(changes: Mapping[str, object]) -> Params:
    """The values in params.yaml with `changes`, such as {"train.epochs": 20}.

    Raises:
        InputError: a value is not allowed.
    """
    values = read_params(paths.PARAMS).model_dump()
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = values
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
    try:
        return check(values, "parameters")
    except InputError as error:
        raise InputError(str(error)) from None  # without what pydantic said


def train(params: Params, training: Split, validation: Split) -> Trained:
    """Trains a new network, and validates it after every epoch.

    Raises:
        InputError: the images do not fit each other or the parameters.
        TrainingError: the loss is no longer finite.
    """
    sections = (params.model, params.train, params.augment)
    return stage.train(*sections, training=training, validation=validation)


def plot(history: Mapping[str, Sequence[float]]) -> Figure:
    """Loss and accuracy by epoch."""
    columns = {name: np.array(values) for name, values in history.items()}
    with figures.style():
        return figures.curves({"epoch": np.arange(1.0, len(columns["loss"]) + 1), **columns})

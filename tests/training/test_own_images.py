"""Images in colour, of uneven or many classes, through training and evaluation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from pipeline.data.split import Split
from pipeline.evaluate import Outputs, evaluate
from pipeline.params import Params
from pipeline.records import read_predictions, read_yaml
from pipeline.train import Outputs as Trained
from pipeline.train import train, write
from tests.support import suite_params
from tests.training.support import colours, of_300_classes

PARAMS = Params.model_validate(read_yaml(suite_params().encode(), "params.yaml"))


def run(
    folder: Path, training: Split, test: Split, architecture: str, **changes: object
) -> Outputs:
    """The outputs of `evaluate` for a network that was trained on `training`."""
    trained = train(
        PARAMS.model.model_copy(update={"name": architecture}),
        PARAMS.train.model_copy(update={"epochs": 12, "batch_size": 16, **changes}),
        PARAMS.augment.model_copy(update={"shift": 1, "flip": True}),
        training=training,
        validation=test,
    )
    model, history = folder / "model.keras", folder / "history.csv"
    write(trained, Trained(model, history, folder / "train.json", folder / "provenance.json"))
    test.save(folder / "test")
    names = ("evaluate.json", "predictions.csv", "curves.png", "confusion.png", "mistakes.png")
    outputs = Outputs(*(folder / name for name in names))
    evaluate(PARAMS.evaluate, model=model, test=folder / "test", history=history, outputs=outputs)
    return outputs


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_colours_are_learned(architecture: str, tmp_path: Path) -> None:
    test = colours(50, seed=1)
    outputs = run(tmp_path, colours(200), test, architecture)
    content: dict[str, Any] = json.loads(outputs.metrics.read_text())
    found = read_predictions(outputs.predictions.read_bytes(), "", test.class_names)
    assert found.labels.tolist() == test.labels.tolist()
    assert content["accuracy"] == found.correct.mean() > 0.9
    for picture in outputs[2:]:
        assert imread(picture).std() > 0


def test_300_classes(tmp_path: Path) -> None:
    test = of_300_classes(colours(50, seed=1))
    outputs = run(tmp_path, of_300_classes(colours(100)), test, "mlp", epochs=1)
    found = read_predictions(outputs.predictions.read_bytes(), "", test.class_names)
    assert found.labels.tolist() == test.labels.tolist()
    content: dict[str, Any] = json.loads(outputs.metrics.read_text())
    assert [one["class"] for one in content["accuracy_per_class"]] == ["red", "green", "blue"]
    assert np.shape(imread(outputs.confusion))[1] < 2500  # pixels: of 30 classes, not of 300

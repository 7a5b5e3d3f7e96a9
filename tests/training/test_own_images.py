"""Images in colour, of uneven or many classes, through training and evaluation."""

import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from pipeline import figures
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


def agree(outputs: Outputs, test: Split) -> float:
    """Checks the outputs against each other; the accuracy."""
    metrics = json.loads(outputs.metrics.read_text())
    found = read_predictions(outputs.predictions.read_bytes(), "", test.class_names)
    assert found.labels.tolist() == test.labels.tolist()
    assert metrics["accuracy"] == found.correct.mean()
    recall = [one["accuracy"] for one in metrics["accuracy_per_class"]]
    assert metrics["balanced_accuracy"] == pytest.approx(sum(recall) / 3)
    assert [one["class"] for one in metrics["accuracy_per_class"]] == ["red", "green", "blue"]
    for picture in outputs[2:]:
        assert imread(picture).std() > 0
    return float(metrics["accuracy"])


def test_convolutions_learn_colours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    test = colours(50, seed=1)
    outputs = run(tmp_path, colours(200), test, "cnn")
    assert agree(outputs, test) > 0.9
    metrics = json.loads(outputs.metrics.read_text())
    printed = capsys.readouterr().out
    assert f"\nbalanced accuracy {metrics['balanced_accuracy']:.2%}, macro F1 " in printed


def test_colours_of_300_classes_are_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MATRIX", 5)  # drawn faster than 30 classes
    test = of_300_classes(colours(50, seed=1))
    assert agree(run(tmp_path, of_300_classes(colours(200)), test, "mlp"), test) > 0.9


@pytest.mark.long("pipeline/training", "pipeline/train.py")
def test_class_weights_help_the_rare_classes(tmp_path: Path) -> None:
    recall = {}
    for class_weights in ("none", "balanced"):
        folder = tmp_path / class_weights
        folder.mkdir()
        training, test = colours(200, shares=(0.94, 0.04, 0.02)), colours(60, 1, (0.4, 0.3, 0.3))
        outputs = run(folder, training, test, "mlp", epochs=3, class_weights=class_weights)
        content = json.loads(outputs.metrics.read_text())
        recall[class_weights] = [one["accuracy"] for one in content["accuracy_per_class"]]
    assert sum(recall["balanced"][1:]) > sum(recall["none"][1:]) + 0.2

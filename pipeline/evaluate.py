"""Stage 4: the model scored on the test images, which nothing before has learned from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import figures, paths
from pipeline.artifacts import json_bytes, png_bytes, write_files
from pipeline.data.split import Split
from pipeline.errors import InputError, advising, listed
from pipeline.params import Evaluate, Params
from pipeline.program import run_stage
from pipeline.records import predictions_bytes, read_file, read_history
from pipeline.score import most_confident_mistakes, predictions_of, score
from pipeline.training.inference import about, predict


class Outputs(NamedTuple):
    """The files that `evaluate` writes."""

    metrics: Path  # JSON
    predictions: Path  # CSV, a row for each test image
    curves: Path  # PNG
    confusion: Path  # PNG
    mistakes: Path  # PNG


def evaluate(params: Evaluate, *, model: Path, test: Path, history: Path, outputs: Outputs) -> None:
    """Scores every test image once, and draws the results.

    Args:
        params: bins and counts.
        model: a `.keras` file, raw pixels to logits.
        test: the folder of a `Split`.
        history: the history.csv of the training, for the curves.
        outputs: the files to write.

    Raises:
        InputError: an input is missing, or the model does not fit the images.
    """
    with advising("run dvc repro"):
        split = Split.load(test)
        curves = read_history(read_file(history), str(history))
        _check_classes(model, split.class_names)
        logits = predict(model, split.images, len(split.class_names))
        predictions, loss = predictions_of(logits, split.labels)
    metrics = score(predictions, split.class_names, loss=loss, bins=params.calibration_bins)
    interval = metrics["accuracy_interval"]
    print(
        f"accuracy {metrics['accuracy']:.2%} on {len(split.labels):,} test images "
        f"(95% interval {interval['low']:.2%} to {interval['high']:.2%})"
    )
    if "balanced_accuracy" in metrics:
        print(
            f"balanced accuracy {metrics['balanced_accuracy']:.2%}, macro F1 "
            f"{metrics['macro_f1']:.2%}: the means over classes, which are uneven"
        )
    worst = most_confident_mistakes(predictions)[: params.mistakes]
    names = np.array(split.class_names)
    with figures.style():
        files = {
            outputs.metrics: json_bytes(metrics),
            outputs.predictions: predictions_bytes(predictions, split.class_names),
            outputs.curves: png_bytes(figures.curves(curves)),
            outputs.confusion: png_bytes(figures.confusion_matrix(predictions, split.class_names)),
            outputs.mistakes: png_bytes(
                figures.mistakes(
                    split.images[worst],
                    split.largest_pixel,
                    names[predictions.labels[worst]].tolist(),
                    names[predictions.predicted[worst]].tolist(),
                    predictions.probability[worst].tolist(),
                )
            ),
        }
    write_files(files)
    for path in (outputs.curves, outputs.confusion, outputs.mistakes):
        print(path)


def _check_classes(model: Path, class_names: tuple[str, ...]) -> None:
    told = about(model).get("class_names", class_names)
    if tuple(told) != class_names:
        raise InputError(
            f"{model}: was trained on the classes {listed(told)}, expected those of the test "
            f"images, {listed(class_names)}"
        )


def main(params: Params) -> None:
    """Scores models/model.keras."""
    evaluate(
        params.evaluate,
        model=paths.MODEL,
        test=paths.TEST,
        history=paths.HISTORY,
        outputs=Outputs(
            metrics=paths.EVALUATE_METRICS,
            predictions=paths.PREDICTIONS,
            curves=paths.CURVES,
            confusion=paths.CONFUSION,
            mistakes=paths.MISTAKES,
        ),
    )


if __name__ == "__main__":
    run_stage("evaluate", __doc__, main, [paths.TEST, paths.MODEL, paths.HISTORY])

"""Stage 4: the model judged on the test images, which nothing before has learned from."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from pipeline import backend, figures, paths, stage
from pipeline.artifacts import replacing, write_csv, write_json, write_png
from pipeline.errors import InputError
from pipeline.params import Evaluate, Params
from pipeline.score import confusion, score
from pipeline.split import Split

BATCH = 2000  # images at once


class Outputs(NamedTuple):
    """Where `evaluate` writes what."""

    metrics: Path
    predictions: Path
    curves: Path
    confusion: Path
    mistakes: Path


def evaluate(params: Evaluate, *, model: Path, test: Path, history: Path, outputs: Outputs) -> None:
    """Scores every test image once, and draws what there is to see.

    Args:
        params: bins and counts.
        model: a `.keras` file, raw pixels to logits.
        test: the folder of a `Split`.
        history: the CSV file of the training, for the curves.
        outputs: the files to write.

    Raises:
        InputError: an input is missing, or the model does not fit the images.
    """
    split = Split.load(test)
    logits = predict(model, split.images)
    if logits.shape[1:] != (len(split.class_names),):
        raise InputError(
            f"{model}: its output is {logits.shape[1:]}, expected a value for each of "
            f"{len(split.class_names)} classes; run dvc repro"
        )
    probabilities = softmax(logits, axis=-1)
    predicted = logits.argmax(axis=-1)
    confidence = probabilities.max(axis=-1)
    metrics = score(logits, split.labels, split.class_names, params.calibration_bins)
    interval = metrics["accuracy_interval"]
    print(
        f"accuracy {metrics['accuracy']:.2%} on {len(predicted):,} test images, 95% interval "
        f"{interval['low']:.2%} to {interval['high']:.2%}, {metrics['errors']:,} errors"
    )

    names = np.array(split.class_names)
    worst = _most_confident(confidence, predicted != split.labels, params.mistakes)
    counts = confusion(split.labels, predicted, len(names))
    columns = (names[split.labels], names[predicted], (f"{sure:.6f}" for sure in confidence))
    with replacing(*outputs) as temporary, figures.style():
        new = Outputs(*temporary)
        write_json(new.metrics, metrics)
        write_csv(
            new.predictions,
            ("index", "actual", "predicted", "probability"),
            zip(range(len(predicted)), *columns, strict=True),
        )
        write_png(new.curves, figures.curves(_read_history(history)))
        write_png(new.confusion, figures.confusion_matrix(counts, split.class_names))
        write_png(
            new.mistakes,
            figures.worst_mistakes(
                split.images[worst],
                names[split.labels[worst]].tolist(),
                names[predicted[worst]].tolist(),
                confidence[worst].tolist(),
            ),
        )
    for path in (outputs.curves, outputs.confusion, outputs.mistakes):
        print(path)


def predict(model: Path, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The model's logits, (N, C), for `images`, (N, height, width).

    Raises:
        InputError: there is no model, it cannot be read, or it takes other images.
    """
    if not model.is_file():
        raise InputError(f"{model}: no such file; run dvc repro, which trains it")
    backend.start()
    import keras

    try:
        network = keras.models.load_model(model, compile=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: is no Keras model ({error}); run dvc repro") from error
    if network.input_shape[1:] != images.shape[1:]:
        raise InputError(
            f"{model}: takes images of {network.input_shape[1:]} pixels, these have "
            f"{images.shape[1:]}; run dvc repro"
        )
    network.compile(jit_compile=False)  # XLA would take longer to compile than this takes
    return np.asarray(network.predict(images, batch_size=BATCH, verbose=0), dtype=np.float64)


def _most_confident(
    confidence: NDArray[np.float64], wrong: NDArray[np.bool_], count: int
) -> NDArray[np.intp]:
    """The indices of up to `count` wrong predictions, the surest first."""
    mistakes = np.flatnonzero(wrong)
    return mistakes[np.argsort(-confidence[mistakes], kind="stable")[:count]]


def _read_history(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run dvc repro") from error


def main(params: Params) -> None:
    """Judges models/model.keras."""
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
    stage.run("evaluate", main)

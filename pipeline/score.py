"""Predictions to numbers. N images and C classes throughout."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest

from pipeline.records import Predictions


def predictions_of(logits: NDArray[np.float64], labels: NDArray[np.integer[Any]]) -> Predictions:
    """The most probable class of each image.

    Args:
        logits: (N, C).
        labels: (N,) the true classes.
    """
    probability = softmax(logits, axis=-1).max(axis=-1)
    return Predictions(labels.astype(np.intp), logits.argmax(axis=-1), probability)


def score(
    predictions: Predictions, class_names: Sequence[str], *, loss: float, bins: int
) -> dict[str, Any]:
    """Everything that metrics/evaluate.json says.

    Args:
        predictions: of N images.
        class_names: C names.
        loss: of the same images, see `cross_entropy`.
        bins: of confidence, for the calibration error.
    """
    return agreement(predictions, class_names) | {
        "loss": loss,
        "calibration_error": calibration_error(predictions.probability, predictions.correct, bins),
    }


def agreement(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any]:
    """The part of `score` that only the chosen classes decide."""
    correct = predictions.correct
    low, high = wilson_interval(int(correct.sum()), len(correct))
    per_class = accuracy_per_class(predictions, len(class_names))
    return {
        "accuracy": float(correct.mean()),
        "accuracy_interval": {"low": low, "high": high},
        "errors": int((~correct).sum()),
        "accuracy_per_class": [
            {"class": name, "accuracy": accuracy}
            for name, accuracy in zip(class_names, per_class.tolist(), strict=True)
            if not np.isnan(accuracy)
        ],
    }


def accuracy_per_class(predictions: Predictions, classes: int) -> NDArray[np.float64]:
    """The share of each class's images that were classified correctly, (C,); NaN if it has none."""
    images = np.bincount(predictions.labels, minlength=classes)
    right = np.bincount(predictions.labels[predictions.correct], minlength=classes)
    share: NDArray[np.float64] = np.full(classes, np.nan)
    return np.divide(right, images, out=share, where=images > 0)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that contains the true share of successes with `confidence`.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22 (1927), 209-212; without continuity correction.
    """
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.integer[Any]]) -> float:
    """The mean over the images of -log(probability of the true class), in nats.

    Args:
        logits: (N, C).
        labels: (N,) the true classes.
    """
    return float(-log_softmax(logits, axis=-1)[np.arange(len(labels)), labels].mean())


def calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int
) -> float:
    """The expected calibration error: how far confidence is from accuracy, on average.

    The images are put into `bins` equal intervals of confidence, (0, 1/bins] and so on; the
    differences between mean confidence and accuracy are averaged, weighted by the images in a bin.

    Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
    equation 3.

    Args:
        confidence: (N,) the probability of the predicted class.
        correct: (N,) whether that is the true one.
        bins: how many.
    """
    index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    difference = np.bincount(index, weights=confidence - correct, minlength=bins)
    return float(np.abs(difference).sum() / len(confidence))


def most_confident_mistakes(predictions: Predictions) -> NDArray[np.intp]:
    """The indices of the misclassified images, the most confident first."""
    mistakes = np.flatnonzero(~predictions.correct)
    return mistakes[np.argsort(-predictions.probability[mistakes], kind="stable")]


def confusion(predictions: Predictions, classes: int) -> NDArray[np.intp]:
    """How many images of each class (row) were taken for each class (column); (C, C)."""
    cells = predictions.labels * classes + predictions.predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)

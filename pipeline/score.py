"""Predictions to numbers. N images, C classes throughout."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from scipy.stats import binomtest


def score(
    logits: NDArray[np.float64], labels: NDArray[np.uint8], class_names: tuple[str, ...], bins: int
) -> dict[str, Any]:
    """Everything that metrics/evaluate.json says.

    Args:
        logits: (N, C).
        labels: (N,) what each image is.
        class_names: C names.
        bins: of confidence, for the calibration error.
    """
    predicted = logits.argmax(axis=-1)
    correct = predicted == labels
    low, high = wilson_interval(int(correct.sum()), len(correct))
    return {
        "accuracy": float(correct.mean()),
        "accuracy_interval": {"low": low, "high": high},
        "errors": int((~correct).sum()),
        "loss": cross_entropy(logits, labels),
        "calibration_error": calibration_error(
            np.exp(log_softmax(logits, axis=-1)).max(axis=-1), correct, bins
        ),
        "accuracy_per_class": [
            {"class": name, "accuracy": float(correct[labels == label].mean())}
            for label, name in enumerate(class_names)
            if (labels == label).any()
        ],
    }


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that holds the true share of successes with `confidence`.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22 (1927), 209-212; without continuity correction.
    """
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.uint8]) -> float:
    """The mean over the images of minus the logarithm of their true class's probability, nats."""
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


def confusion(
    labels: NDArray[np.integer[Any]], predicted: NDArray[np.intp], classes: int
) -> NDArray[np.intp]:
    """How many images of each class (row) were taken for each class (column); (C, C)."""
    return np.bincount(labels.astype(np.intp) * classes + predicted, minlength=classes**2).reshape(
        classes, classes
    )

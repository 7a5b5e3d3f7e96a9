"""Predictions to numbers. N images and C classes throughout."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from scipy.stats import binomtest

from pipeline.records import Predictions

EVEN = 2  # times as many images in a class as in another


def predictions_of(
    logits: Iterable[NDArray[np.float64]], labels: NDArray[np.integer[Any]]
) -> tuple[Predictions, float]:
    """The most probable class of each image, and the mean cross-entropy.

    Args:
        logits: (M, C) for the next M images, until all N have been.
        labels: (N,) the true classes.
    """
    predicted, probability, losses = [], [], []
    start = 0
    for part in logits:
        predicted.append(part.argmax(axis=-1))
        probability.append(softmax(part, axis=-1).max(axis=-1))
        losses.append(cross_entropy(part, labels[start : start + len(part)]))
        start += len(part)
    chosen, sure = np.concatenate(predicted), np.concatenate(probability)
    return Predictions(labels.astype(np.intp), chosen, sure), float(np.concatenate(losses).mean())


def score(
    predictions: Predictions, class_names: Sequence[str], *, loss: float, bins: int
) -> dict[str, Any]:
    """Everything that metrics/evaluate.json says.

    Args:
        predictions: of N images.
        class_names: C names.
        loss: their mean cross-entropy.
        bins: of confidence, for the calibration error.
    """
    return agreement(predictions, class_names) | {
        "loss": loss,
        "calibration_error": calibration_error(predictions.probability, predictions.correct, bins),
    }


def agreement(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any]:
    """The part of `score` that only the chosen classes decide.

    Where classes are uneven, it has the balanced accuracy and the macro F1 as well.
    """
    correct = predictions.correct
    classes = len(class_names)
    low, high = wilson_interval(int(correct.sum()), len(correct))
    per_class = accuracy_per_class(predictions, classes)
    balanced = {
        "balanced_accuracy": balanced_accuracy(predictions, classes),
        "macro_f1": macro_f1(predictions, classes),
    }
    return {
        "accuracy": float(correct.mean()),
        "accuracy_interval": {"low": low, "high": high},
        "errors": int((~correct).sum()),
        "accuracy_per_class": [
            {"class": name, "accuracy": accuracy}
            for name, accuracy in zip(class_names, per_class.tolist(), strict=True)
            if not np.isnan(accuracy)
        ],
        **(balanced if uneven(predictions.labels) else {}),
    }


def uneven(labels: NDArray[np.intp]) -> bool:
    """Whether some class has more than EVEN times as many images as another that has any.

    Below that, classes may as well differ by chance, and the accuracy says nearly as much about
    each: with counts within a factor r, it differs from the balanced accuracy by at most
    (√r - 1)/(√r + 1) of the distance between the best and the worst class, 17% for 2.
    """
    images = np.bincount(labels)
    return bool(images.max() > EVEN * images[images > 0].min())


def accuracy_per_class(predictions: Predictions, classes: int) -> NDArray[np.float64]:
    """The share of each class's images that were classified correctly, (C,); NaN if it has none."""
    images = np.bincount(predictions.labels, minlength=classes)
    right = np.bincount(predictions.labels[predictions.correct], minlength=classes)
    share: NDArray[np.float64] = np.full(classes, np.nan)
    return np.divide(right, images, out=share, where=images > 0)


def accuracy(predictions: Predictions, _classes: int) -> float:
    """The share of the images that were classified correctly."""
    return float(predictions.correct.mean())


def balanced_accuracy(predictions: Predictions, classes: int) -> float:
    """The mean accuracy of the classes that have images: each class counts the same.

    Source: Brodersen, Ong, Stephan and Buhmann, "The Balanced Accuracy and Its Posterior
    Distribution", ICPR 2010, 3121-3124.
    """
    return float(np.nanmean(accuracy_per_class(predictions, classes)))


def macro_f1(predictions: Predictions, classes: int) -> float:
    """The mean F1 of the classes that have images.

    That of a class is the harmonic mean of the share of its images that were taken for it (recall)
    and the share of the images taken for it that are its own (precision).

    Source: Opitz and Burst, "Macro F1 and Macro F1", arXiv:1911.03347, where it is the averaged F1.
    """
    return float(np.nanmean(f1_per_class(predictions, classes)))


def f1_per_class(predictions: Predictions, classes: int) -> NDArray[np.float64]:
    """The F1 of each class, (C,); NaN if it has no images."""
    images, chosen, right = (
        np.bincount(of, minlength=classes)
        for of in (
            predictions.labels,
            predictions.predicted,
            predictions.labels[predictions.correct],
        )
    )
    f1: NDArray[np.float64] = np.full(classes, np.nan)
    np.divide(2 * right, images + chosen, out=f1, where=images > 0)
    return f1


METRICS: dict[str, Callable[[Predictions, int], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
}


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that contains the true share of successes with `confidence`.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal
    of the American Statistical Association 22 (1927), 209-212; without continuity correction.
    """
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def cross_entropy(
    logits: NDArray[np.float64], labels: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """The cross-entropy of each image, (N,): -log(probability of the true class), in nats.

    Args:
        logits: (N, C).
        labels: (N,) the true classes.
    """
    losses: NDArray[np.float64] = -log_softmax(logits, axis=-1)[np.arange(len(labels)), labels]
    return losses


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


def most_confused(predictions: Predictions, classes: int, most: int) -> NDArray[np.intp]:
    """The classes with the most mistakes, at most `most` of them, in order.

    An image taken for another class counts for both.
    """
    wrong = ~predictions.correct
    mistakes = sum(
        np.bincount(of[wrong], minlength=classes)
        for of in (predictions.labels, predictions.predicted)
    )
    return np.sort(np.argsort(-mistakes, kind="stable")[:most])


def confusion(predictions: Predictions, classes: int, among: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many images of each class (row) were taken for each class (column); (K, K).

    Args:
        predictions: of N images.
        classes: C, how many there are.
        among: (K,) the classes to count; all C² pairs of 10,000 classes would take 800 MB.
    """
    position = np.full(classes, -1)
    position[among] = np.arange(len(among))
    row, column = position[predictions.labels], position[predictions.predicted]
    counted = (row >= 0) & (column >= 0)
    cells = row[counted] * len(among) + column[counted]
    return np.bincount(cells, minlength=len(among) ** 2).reshape(len(among), len(among))

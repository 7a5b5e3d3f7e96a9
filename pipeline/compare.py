"""Two models judged on the same test images: is the second worse than the first?

Only the images that one of the two gets right and the other wrong tell them apart. Throughout, n is
the number of images, b that of images which the baseline alone gets right, c that of images which
the candidate alone gets right; the drop in accuracy is (b - c) / n. Where both were trained with
several seeds, the means of their accuracies tell more.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm, t


def discordant(
    labels: NDArray[np.intp], baseline: NDArray[np.intp], candidate: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The images that one of two models gets right, by their positions.

    Args:
        labels: (N,) what each image is.
        baseline: (N,) what the first model takes it for.
        candidate: (N,) what the second model takes it for.

    Returns:
        (b,) the newly wrong ones, and (c,) the newly right ones.
    """
    was_right, is_right = baseline == labels, candidate == labels
    return np.flatnonzero(was_right & ~is_right), np.flatnonzero(~was_right & is_right)


def drop_upper_bound(b: ArrayLike, c: ArrayLike, n: int, confidence: float) -> NDArray[np.float64]:
    """The upper end of the one-sided interval of the drop in accuracy.

    The estimate (b - c) / n has the standard error sqrt(b + c - (b - c)²/n) / n.

    Source: Newcombe, "Improved Confidence Intervals for the Difference between Binomial Proportions
    Based on Paired Data", Statistics in Medicine 17 (1998), 2635-2650, method 1. To accept only if
    this bound is within a margin is a test of non-inferiority: Liu, Hsueh, Hsieh and Chen, "Tests
    for Equivalence or Non-inferiority for Paired Binary Data", Statistics in Medicine 21 (2002),
    231-245.

    Args:
        b: images that the baseline alone gets right, a number or an array.
        c: images that the candidate alone gets right, of the same shape.
        n: images, at least 1.
        confidence: that the true drop is not above the bound, 0.5 to 1.

    Returns:
        A share of the images, of the shape of `b`.
    """
    b, c = np.asarray(b, dtype=np.float64), np.asarray(c, dtype=np.float64)
    difference = b - c
    variance = b + c - difference**2 / n
    error = np.sqrt(np.maximum(variance, 0)) / n  # rounding may leave the variance below 0
    bound: NDArray[np.float64] = difference / n + norm.ppf(confidence) * error
    return bound


def mcnemar(b: int, c: int) -> float:
    """The probability of so uneven a split of b + c images between equally accurate models.

    Two-sided and exact: b is binomial with b + c trials and probability 1/2.

    Source: McNemar, "Note on the Sampling Error of the Difference between Correlated Proportions or
    Percentages", Psychometrika 12 (1947), 153-157.
    """
    return float(binomtest(b, b + c).pvalue) if b + c else 1.0


def mean_drop_upper_bound(
    baseline: NDArray[np.float64], candidate: NDArray[np.float64], confidence: float
) -> float:
    """The upper end of the one-sided interval of the drop in mean accuracy, over training seeds.

    With means m, sample variances v and counts k of both sides, (m₁ - m₂) + t·sqrt(v₁/k₁ + v₂/k₂),
    where t is the quantile of Student's distribution with Welch's degrees of freedom.

    Source: Welch, "The Generalization of 'Student's' Problem when Several Different Population
    Variances are Involved", Biometrika 34 (1947), 28-35.

    Args:
        baseline: (k₁,) accuracies, at least 2.
        candidate: (k₂,) accuracies, at least 2.
        confidence: that the true drop is not above the bound, 0.5 to 1.

    Returns:
        A share of the images.
    """
    sides = (baseline, candidate)
    of_means = np.array([side.var(ddof=1) / len(side) for side in sides])
    drop, variance = baseline.mean() - candidate.mean(), of_means.sum()
    if not variance:
        return float(drop)
    freedom = variance**2 / sum(of_means**2 / [len(side) - 1 for side in sides])
    return float(drop + t.ppf(confidence, freedom) * np.sqrt(variance))


def accuracy_by_class(
    labels: NDArray[np.intp], predicted: NDArray[np.intp], classes: int
) -> NDArray[np.float64]:
    """The share of each class's images that were taken for it, (C,); NaN where it has none."""
    images = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[labels == predicted], minlength=classes)
    share: NDArray[np.float64] = np.full(classes, np.nan)
    return np.divide(right, images, out=share, where=images > 0)

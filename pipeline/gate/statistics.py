"""Two models scored on the same test images: is the second worse than the first?

Only the images that exactly one of them gets right tell them apart. Throughout, n is the number of
images, b the number that only the baseline gets right, c the number that only the candidate gets
right; the drop in accuracy is (b - c) / n.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm


def discordant(
    labels: NDArray[np.intp], baseline: NDArray[np.intp], candidate: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The indices of the images that exactly one of two models gets right.

    Args:
        labels: (N,) the true classes.
        baseline: (N,) the classes that the first model chose.
        candidate: (N,) the classes that the second model chose.

    Returns:
        (b,) the newly wrong ones, and (c,) the newly right ones.
    """
    was_right, is_right = baseline == labels, candidate == labels
    return np.flatnonzero(was_right & ~is_right), np.flatnonzero(~was_right & is_right)


def drop_upper_bound(b: ArrayLike, c: ArrayLike, n: int, confidence: float) -> NDArray[np.float64]:
    """The upper end of the one-sided confidence interval of the drop in accuracy.

    The estimate (b - c) / n has the standard error sqrt(b + c - (b - c)²/n) / n.

    Source: Newcombe, "Improved Confidence Intervals for the Difference between Binomial Proportions
    Based on Paired Data", Statistics in Medicine 17 (1998), 2635-2650, method 1. Accepting only if
    this bound is within a margin is a test of non-inferiority: Liu, Hsueh, Hsieh and Chen, "Tests
    for Equivalence or Non-inferiority for Paired Binary Data", Statistics in Medicine 21 (2002),
    231-245.

    Args:
        b: images that only the baseline gets right, a number or an array.
        c: images that only the candidate gets right, of the same shape.
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
    """The probability of a split of b + c images this uneven between equally accurate models.

    Two-sided and exact: b is binomial with b + c trials and probability 1/2.

    Source: McNemar, "Note on the Sampling Error of the Difference between Correlated Proportions or
    Percentages", Psychometrika 12 (1947), 153-157.
    """
    return float(binomtest(b, b + c).pvalue) if b + c else 1.0

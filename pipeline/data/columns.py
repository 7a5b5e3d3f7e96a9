"""Numbers of which each image has one, such as labels: used piece by piece, for there are many."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1 << 16


def pieces(count: int) -> Iterator[slice]:
    """All of `count` numbers, some at a time, so that what is made of them stays small."""
    for start in range(0, count, AT_ONCE):
        yield slice(start, min(count, start + AT_ONCE))


def class_counts(labels: Iterable[NDArray[np.integer[Any]]], classes: int = 0) -> NDArray[np.intp]:
    """How many examples each class has, for at least `classes`; labels below 0 do not count.

    Args:
        labels: (M,) of the next M examples, each.
        classes: how many there are.
    """
    counts = np.zeros(classes, np.intp)
    for some in labels:
        own = np.bincount(some[some >= 0], minlength=len(counts))
        own[: len(counts)] += counts
        counts = own
    return counts

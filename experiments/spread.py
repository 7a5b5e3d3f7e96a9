"""The mean over several seeds, with its standard deviation."""

from collections.abc import Sequence
from statistics import mean, stdev


def percent(values: Sequence[float]) -> str:
    """Shares as `98.12 ± 0.05`: mean and sample standard deviation in percent."""
    shown = f"{100 * mean(values):.2f}"
    return f"{shown} ± {100 * stdev(values):.2f}" if len(values) > 1 else shown

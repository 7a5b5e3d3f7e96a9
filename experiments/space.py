"""What a search may choose from: `train.learning_rate=log:1e-4..1e-2 model.mlp.dropout=0..0.5`.

A range has two ends; its values are whole numbers where the committed one is, and spread evenly
over orders of magnitude after `log:`. Anything else is a list of values, as in a grid.
"""

import json
import math
import re
from dataclasses import dataclass

from experiments import grid, sets
from pipeline.errors import InputError
from pipeline.records import read_yaml

SOURCE = "SPACE"
RANGE = re.compile(r"(?P<log>log:)?(?P<low>[^\[\]{}'\",]+?)\.\.(?P<high>[^\[\]{}'\",]+)")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both among them."""

    low: float
    high: float
    log: bool

    @property
    def whole(self) -> bool:
        """Whether they are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True)
class Choice:
    """Some values, as JSON, so that each is a word to whoever chooses."""

    words: tuple[str, ...]


Space = dict[str, Range | Choice]  # by the keys of parameters


def parse(text: str, base: sets.Flat) -> Space:
    """The space that `text` describes, all of whose ends and choices are allowed.

    Args:
        text: from the command line.
        base: all parameters, which an experiment changes.

    Raises:
        InputError: in one line, what is wrong.
    """
    space: Space = {}
    for key, what in grid.entries(text, SOURCE).items():
        ends: list[object]
        found = RANGE.fullmatch(what)
        if found:
            low, high = (_number(key, what, found[end]) for end in ("low", "high"))
            some = _range(key, what, low, high, base.get(key), log=bool(found["log"]))
            space[key], ends = some, [some.low, some.high]
        else:
            ends = grid.values(key, what, SOURCE)
            space[key] = Choice(tuple(map(json.dumps, ends)))
        for value in ends:
            grid.check(base, {key: value}, SOURCE)
    return space


def _range(key: str, what: str, low: float, high: float, committed: object, *, log: bool) -> Range:
    if not low < high or (log and low <= 0):
        expected = "0 < LOW < HIGH after log:" if log else "LOW < HIGH"
        raise InputError(f"{SOURCE}: found {key}={what}, expected {expected}")
    whole = isinstance(committed, int) and not isinstance(committed, bool)
    return Range(low, high, log) if whole else Range(float(low), float(high), log)


def _number(key: str, what: str, text: str) -> float:
    """One end of a range.

    Raises:
        InputError: it is no finite number.
    """
    value = read_yaml(text.encode(), f"{SOURCE}: {key}={what}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{SOURCE}: found {key}={what}, expected a number, not {text}")
    return value

"""Values of parameters, as on the command line: `train.seed=0,1 model.mlp.hidden_units=[8],[16]`.

Values are written as in params.yaml. A comma separates them, unless it is in brackets or quotes.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from experiments import sets
from experiments.compare import short
from pipeline import params
from pipeline.data.datasets import find
from pipeline.errors import InputError
from pipeline.records import read_yaml

OPENING, CLOSING, QUOTES = "[{", "]}", "\"'"
UNFIT = re.compile(r"[^A-Za-z0-9_.+-]+|[.](?=[.])")  # for the name of a ref
ENDING = re.compile(r"[.]lock$")  # which git reserves
LONGEST = 150  # characters of a name, which is that of a file, too; what is cut is told apart


def split(text: str, separators: str, source: str) -> list[str]:
    """The parts of `text` between any of `separators`, but for those in brackets or quotes.

    Args:
        text: from the command line.
        separators: characters.
        source: its name, for messages.

    Raises:
        InputError: a bracket or a quote is not closed.
    """
    parts, expected = [""], ""
    for sign in text:
        quoted = expected[-1:] in QUOTES and expected != ""
        if sign in separators and not expected:
            parts.append("")
            continue
        parts[-1] += sign
        if expected.endswith(sign):
            expected = expected[:-1]
        elif not quoted and sign in OPENING:
            expected += CLOSING[OPENING.index(sign)]
        elif not quoted and sign in QUOTES:
            expected += sign
        elif not quoted and sign in CLOSING:
            raise InputError(f"{source}: found {sign} in {parts[-1]} with nothing to close")
    if expected:
        raise InputError(f"{source}: found {parts[-1]}, expected {expected[-1]} at the end")
    return parts


def entries(text: str, source: str) -> dict[str, str]:
    """What is between white space, KEY=WHAT each, by key.

    Raises:
        InputError: it is something else, or a key is there twice.
    """
    found: dict[str, str] = {}
    for entry in filter(None, split(text, " \t\n", source)):
        key, equals, what = entry.partition("=")
        if not key or not equals:
            raise InputError(f"{source}: found {entry}, expected section.key=VALUE,VALUE")
        if key in found:
            raise InputError(f"{source}: found {key} twice; name all of its values in one place")
        found[key] = what
    if not found:
        raise InputError(f"{source} is missing; such as {source}='train.learning_rate=1e-4,1e-3'")
    return found


def values(key: str, text: str, source: str) -> list[object]:
    """The values of a key, as params.yaml would have them.

    Raises:
        InputError: one is no value, or is there twice.
    """
    found: list[object] = []
    for part in split(text, ",", source):
        if not part:
            raise InputError(f"{source}: found {key}={text}, expected a value at each comma")
        value = read_yaml(part.encode(), f"{source}: {key}={part}")
        if any(value == other and type(value) is type(other) for other in found):
            raise InputError(f"{source}: found {key}={part} twice")
        found.append(value)
    return found


def combinations(grid: Mapping[str, Sequence[object]]) -> list[sets.Flat]:
    """Each value of each key with each of the others, the last key changing first."""
    return [dict(zip(grid, chosen, strict=True)) for chosen in product(*grid.values())]


def name(prefix: str, chosen: sets.Flat, keys: Iterable[str]) -> str:
    """What the experiment with the parameters `chosen` is called.

    Args:
        prefix: how it begins.
        chosen: what tells it from the others of its sweep.
        keys: all that there are: a key is shortened to what tells it from all others.
    """
    every = [*keys]
    endings = dict(zip(every, short(every), strict=True))
    parts = [f"{endings.get(key, key)}-{_readable(value)}" for key, value in chosen.items()]
    full = ENDING.sub("-lock", UNFIT.sub("-", "-".join([prefix, *parts])).strip("-."))
    if len(full) <= LONGEST:
        return full
    return f"{full[:LONGEST]}-{hashlib.sha256(full.encode()).hexdigest()[:8]}"


def _readable(value: object) -> str:
    """A value as a part of a name: [16, 32] is 16-32."""
    if isinstance(value, list):
        return "-".join(map(_readable, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def check(base: sets.Flat, chosen: sets.Flat, source: str) -> None:
    """Checks what an experiment would change.

    Args:
        base: all parameters.
        chosen: those that it changes, and to what.
        source: the name of the option that says so, for messages.

    Raises:
        InputError: in one line, what is not allowed.
    """
    nested: dict[str, object] = {}
    for key, value in (base | chosen).items():
        *sections, last = key.split(".")
        section = nested
        for one in sections:
            inner = section.setdefault(one, {})
            if not isinstance(inner, dict):
                raise InputError(f"{source}: {key}: unknown key, {one} has no keys")
            section = inner
        section[last] = value
    try:
        checked = params.check(nested, source)
    except InputError as error:
        raise InputError(str(error).splitlines()[0]) from error
    if "dataset.name" in chosen:
        find(checked.dataset.name, f"{source}: dataset.name")
    for key in chosen:
        if key.startswith("model.") and key.split(".")[1] not in ("name", checked.model.name):
            raise InputError(
                f"{source}: {key} changes nothing where model.name is {checked.model.name}; "
                f"set model.name, too"
            )

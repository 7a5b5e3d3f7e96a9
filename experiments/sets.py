"""The named sets of parameters in sets.yaml, and what they ask of DVC."""

import json
from difflib import get_close_matches
from pathlib import Path

from pipeline import paths
from pipeline.errors import InputError
from pipeline.params import parse
from pipeline.revision import Revision

SETS = Path(__file__).with_name("sets.yaml")
Flat = dict[str, object]  # values of parameters by section.key


def load() -> dict[str, Flat]:
    """Every set by its name, in the order of the file.

    Raises:
        InputError: sets.yaml is no mapping of mappings.
    """
    found = parse(SETS.read_bytes(), SETS.name)
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise InputError(f"{SETS.name}: expected names of sets, each with section.key: value")
    return {str(name): one for name, one in found.items()}


def named(name: str) -> Flat:
    """The set called `name`.

    Raises:
        InputError: there is none.
    """
    sets = load()
    if name in sets:
        return sets[name]
    near = get_close_matches(name, sets, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(f"{name!r}: no such experiment; {hint}There are {', '.join(sets)}")


def flat(content: bytes, source: str) -> Flat:
    """What a params.yaml says, by section.key.

    Raises:
        InputError: it has no sections.
    """
    found = parse(content, source)
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise InputError(f"{source}: expected sections with keys; git restore {paths.PARAMS}")
    return {
        f"{section}.{key}": value for section, keys in found.items() for key, value in keys.items()
    }


def settings(name: str, seed: int) -> Flat:
    """All parameters of an experiment: those of the last commit, changed by the set `name`.

    Not those in this folder, where an experiment of before may have left its own.

    Raises:
        InputError: there is no such set, or no commit.
    """
    committed = Revision("HEAD", "HEAD").read(paths.PARAMS)
    return flat(committed, f"HEAD:{paths.PARAMS}") | named(name) | {"train.seed": seed}


def changes(wanted: Flat) -> list[str]:
    """The arguments of `dvc exp run` that make params.yaml in this folder say what is `wanted`."""
    here = flat(paths.PARAMS.read_bytes(), str(paths.PARAMS))
    return [
        argument
        for key, value in wanted.items()
        if key not in here or here[key] != value
        for argument in ("--set-param", f"{key}={_written(value)}")
    ]


def _written(value: object) -> str:
    """As DVC's command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)

"""The named sets of parameters in sets.yaml, and the DVC arguments that apply them."""

import json
from difflib import get_close_matches
from pathlib import Path

from pipeline import paths
from pipeline.errors import InputError
from pipeline.records import flat, read_file, read_yaml
from pipeline.repository import find_commit

SETS = Path(__file__).with_name("sets.yaml")
IMAGES = ("dataset.name", "preprocess.validation", "preprocess.seed")  # what decides on them
Flat = dict[str, object]  # parameter values by key, such as train.epochs


def load() -> dict[str, Flat]:
    """Every set by its name, in the order of the file.

    Raises:
        InputError: sets.yaml is not a mapping of mappings.
    """
    sets = read_yaml(SETS.read_bytes(), SETS.name)
    if not isinstance(sets, dict) or not all(isinstance(one, dict) for one in sets.values()):
        raise InputError(f"{SETS.name}: expected names of sets, each with section.key: value")
    return {str(name): dict(one) for name, one in sets.items()}


def named(name: str) -> Flat:
    """The set called `name`.

    Raises:
        InputError: there is none.
    """
    sets = load()
    if name in sets:
        return sets[name]
    if not name:
        raise InputError(
            f"NAME is missing; name a set of {SETS.name}, such as NAME=cnn-small: {', '.join(sets)}"
        )
    near = get_close_matches(name, sets, n=1)
    expected = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(sets)}"
    raise InputError(f"{name!r}: no such experiment; {expected}")


def values(content: bytes, source: str) -> Flat:
    """The values of a params.yaml by their keys.

    Args:
        content: the file.
        source: its name, for messages.

    Raises:
        InputError: it has no sections.
    """
    params = read_yaml(content, source)
    if not isinstance(params, dict) or not all(isinstance(one, dict) for one in params.values()):
        raise InputError(f"{source}: expected sections with keys; git restore {paths.PARAMS}")
    return dict(flat(params))


def committed() -> Flat:
    """The parameters of the last commit.

    Those in this folder do not count where experiments are compared: one may have left them.

    Raises:
        InputError: there is no commit.
    """
    return values(find_commit("HEAD").read(paths.PARAMS), f"HEAD:{paths.PARAMS}")


def settings(name: str, seed: int) -> Flat:
    """All parameters of an experiment: those of the last commit, changed by the set `name`.

    Raises:
        InputError: there is no such set, or no commit.
    """
    return committed() | named(name) | {"train.seed": seed}


def same_images(params: Flat, images: Flat) -> bool:
    """Whether two sets of parameters train and validate on the same images."""
    return all(params.get(key) == images[key] for key in IMAGES)


def here() -> Flat:
    """The parameters in this folder."""
    return values(read_file(paths.PARAMS), str(paths.PARAMS))


def check_may_choose(params: Flat) -> None:
    """Checks that the validation images of `params` may choose between experiments.

    Raises:
        InputError: they are the test images.
    """
    if params["preprocess.validation"] == "test":
        raise InputError(
            "preprocess.validation is test, and the test images choose nothing; "
            "set it to a share of the training images, such as 0.1, and commit"
        )


def changes(wanted: Flat, given: Flat) -> list[str]:
    """The arguments of `dvc exp run` that turn a params.yaml with what is `given` into `wanted`."""
    return [
        argument
        for key, value in wanted.items()
        if key not in given or given[key] != value
        for argument in ("--set-param", f"{key}={_argument(value)}")
    ]


def _argument(value: object) -> str:
    """`value` as DVC's command line takes it."""
    return value if isinstance(value, str) else json.dumps(value)

"""metrics/seeds.json: what models trained with other seeds make of the test images.

For each seed it holds the mistakes, not the accuracy alone, and a digest of all that the models
were made from. It is believed if that digest is the one of dvc.lock beside it, and if one of its
models is the one of metrics/predictions.csv. `make seeds` writes it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipeline import paths, results
from pipeline.errors import InputError
from pipeline.results import Read, Results

REMEDY = "make it again: make seeds"


def fingerprint(read: Read) -> str:
    """A digest of the code, parameters and data in dvc.lock, but for the seed of the training.

    Raises:
        InputError: dvc.lock is missing or damaged.
    """
    stages = results.stages(read)
    of_the_seed = {
        out["path"]
        for stage in stages
        if "train" in stage.get("params", {}).get(str(paths.PARAMS), {})
        for out in stage["outs"]
    }
    inputs = [
        {
            "cmd": stage.get("cmd"),
            "deps": {
                dependency["path"]: dependency["md5"]
                for dependency in stage["deps"]
                if dependency["path"] not in of_the_seed
            },
            "params": _without_seed(stage.get("params", {}).get(str(paths.PARAMS), {})),
        }
        for stage in stages
    ]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _without_seed(section: Mapping[str, Any]) -> dict[str, Any]:
    train = section.get("train")
    kept = {key: value for key, value in section.items() if key != "train"}
    if isinstance(train, dict):
        kept["train"] = {key: value for key, value in train.items() if key != "seed"}
    return kept


def content(models: Mapping[int, Results], made_from: str) -> dict[str, Any]:
    """What the file says of these `models`, by seed.

    Args:
        models: of the same test images.
        made_from: their `fingerprint`.
    """
    return {
        "made_from": made_from,
        "seeds": [
            {"seed": seed, "accuracy": model.accuracy, "mistakes": _mistakes(model)}
            for seed, model in sorted(models.items())
        ],
    }


def load(read: Read, model: Results, where: str, remedy: str = REMEDY) -> NDArray[np.float64]:
    """The accuracy of the models of all seeds, (seeds,), computed from their mistakes.

    Args:
        read: gives the content of a file.
        model: of one of the seeds.
        where: whose file it is, for messages.
        remedy: what to do if it cannot be believed, for messages.

    Raises:
        InputError: it is missing, damaged, edited, of another state, or twice the same model.
    """
    try:
        found = results.parse_json(read(paths.SEEDS), paths.SEEDS)
        _check_made_from(found, fingerprint(read))
        return _accuracies(found, model)
    except InputError as error:
        raise InputError(f"{where}: {error}; {remedy}") from error


def _check_made_from(found: dict[str, Any], expected: str) -> None:
    if found.get("made_from") != expected:
        raise InputError(
            f"{paths.SEEDS}: stale: its models were made from other code, parameters or data than "
            f"{paths.LOCK} says"
        )


def _accuracies(found: dict[str, Any], model: Results) -> NDArray[np.float64]:
    accuracies: dict[int, float] = {}
    models: dict[frozenset[tuple[str, str]], int] = {}
    try:
        for row in found["seeds"]:
            seed, mistakes = row["seed"], row["mistakes"]
            if type(seed) is not int or seed in accuracies:
                _wrong(seed, "expected a whole number, each seed once")
            _check_mistakes(seed, mistakes, model)
            accuracy = 1 - len(mistakes) / len(model.labels)
            if not results.close(row["accuracy"], accuracy):
                said = json.dumps(row["accuracy"])
                _wrong(seed, f"accuracy is {said}, its mistakes make it {accuracy!r}")
            twin = models.setdefault(frozenset(mistakes.items()), seed)
            if twin != seed:
                _wrong(seed, f"its mistakes are those of seed {twin}, so both are one model")
            accuracies[seed] = accuracy
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{paths.SEEDS}: is damaged, near {error}") from error
    if frozenset(_mistakes(model).items()) not in models:
        raise InputError(f"{paths.SEEDS}: none of its models is the one of {paths.PREDICTIONS}")
    return np.array(list(accuracies.values()))


def _check_mistakes(seed: int, mistakes: Mapping[str, str], model: Results) -> None:
    """Every one is an image of the test set, and takes it for a class that it is not."""
    for index, name in mistakes.items():
        image = int(index) if index.isascii() and index.isdecimal() else -1
        if index != str(image) or image >= len(model.labels):
            _wrong(seed, f"found image {index!r}, expected 0 to {len(model.labels) - 1}")
        if name not in model.class_names or name == model.class_names[model.labels[image]]:
            _wrong(seed, f"image {index} taken for {name!r} is no mistake")


def _wrong(seed: object, what: str) -> NoReturn:
    raise InputError(f"{paths.SEEDS}: seed {seed}: {what}")


def _mistakes(model: Results) -> dict[str, str]:
    """What it takes images for which are something else, by their positions."""
    wrong = np.flatnonzero(model.labels != model.predicted)
    return {str(index): model.class_names[model.predicted[index]] for index in wrong.tolist()}

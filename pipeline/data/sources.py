"""Reads a dataset in whatever format it has: which images there are, and of which class each is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from pipeline.data import cifar, folder, idx, npz, parquet, table
from pipeline.data.columns import pieces
from pipeline.data.datasets import DESCRIPTION, Dataset, Description
from pipeline.data.files import Files
from pipeline.data.folder import Run
from pipeline.data.parts import Chunk, Part
from pipeline.errors import InputError, IntegrityError, listed

Reader = Callable[[Files, list[Run], Description], list[Part]]

READERS: dict[str, Reader] = {
    "cifar": cifar.read,
    "csv": table.read,
    "folder": folder.read,
    "idx": idx.read,
    "npz": npz.read,
    "parquet": parquet.read,
}
AS_PIXELS = {
    "cifar",
    "idx",
    "npz",
}  # formats with pixels that are read as fast as they were written
LEFT_OUT = -1  # the class of an image that is left out


@dataclass(frozen=True)
class Labelled:
    """All images of a dataset, not decoded yet, and their classes."""

    parts: tuple[Part, ...]
    all_labels: NDArray[np.integer[Any]]  # (N,) of all parts, in class_names or LEFT_OUT
    class_names: tuple[str, ...]
    format: str = "folder"  # a key of READERS

    @property
    def total(self) -> int:
        """How many images there are."""
        return len(self.all_labels)

    @property
    def as_pixels(self) -> bool:
        """Whether to read the images again takes no longer than to read a copy of their pixels."""
        return self.format in AS_PIXELS

    def chunks(self) -> Iterator[Chunk]:
        """The images of all parts."""
        return chain.from_iterable(part.chunks() for part in self.parts)


def read(files: Files, dataset: Dataset) -> Labelled:
    """What there is to decode.

    Raises:
        InputError: the data cannot be told apart, or a label means nothing.
        IntegrityError: a file is damaged or has changed.
    """
    runs = folder.scan(files)
    kind = _format(files, runs, dataset)
    if dataset.about.format and len({run.kind for run in runs}) > 1:
        files = replace(files, kinds=(kind, "folder") if kind == "csv" else (kind,))
        runs = folder.scan(files)
    if not runs:
        raise InputError(f"{dataset.description}: says format: {kind}, but no file is of it")
    parts = [part for part in READERS[kind](files, runs, dataset.about) if len(part.labels)]
    if not parts:
        raise InputError(f"{files.root}: found no image with a label, expected some of each class")
    names, index_of = _classes(parts, dataset)
    _check_left_out(parts, kind, dataset)
    return labelled(parts, index_of, names, kind)


def labelled(
    parts: Sequence[Part], index_of: Mapping[str, int], names: tuple[str, ...], kind: str
) -> Labelled:
    """All images of `parts`, whose labels become positions in `names`.

    Args:
        parts: at least one.
        index_of: the position that each of a part's values stands for, or LEFT_OUT.
        names: of the classes.
        kind: a key of READERS.
    """
    labels = np.empty(sum(len(part.labels) for part in parts), np.min_scalar_type(-len(names)))
    start = 0
    own = []
    for part in parts:
        positions = np.array([index_of[value] for value in part.values], labels.dtype)
        place = labels[start : start + len(part.labels)]
        for piece in pieces(len(place)):
            place[piece] = positions[part.labels[piece]]
        own.append(replace(part, labels=place, values=names))
        start += len(place)
    return Labelled(tuple(own), labels, names, kind)


def _format(files: Files, runs: Sequence[Run], dataset: Dataset) -> str:
    """The key of READERS that suits the files."""
    if dataset.about.format:
        return dataset.about.format
    first = {run.kind: run.first for run in reversed(runs)}
    kinds = set(first)
    if kinds == {"csv", "folder"}:  # a table names the pictures
        return "csv"
    if len(kinds) != 1:
        examples = ", ".join(sorted(filter(None, first.values())))
        raise InputError(
            f"{files.root}: found data in several formats, such as {examples}; expected one; say "
            f"which in {DESCRIPTION}, such as format: folder, or remove the others"
        )
    (kind,) = kinds
    if kind not in READERS:
        raise InputError(f"{files.root}: found {runs[0].first}, expected files that can be read")
    return kind


def _classes(parts: Sequence[Part], dataset: Dataset) -> tuple[tuple[str, ...], dict[str, int]]:
    """The names of the classes, and the index that each label stands for."""
    about = dataset.about
    left_out = {str(label): LEFT_OUT for label in about.leave_out}
    found = _sorted({value for part in parts for value in part.values} - left_out.keys())
    if isinstance(about.class_names, dict):
        index_of = {str(label): number for number, label in enumerate(about.class_names)}
        names = dataset.class_names
    elif about.class_names:
        names = dataset.class_names
        by_name = set(found) <= set(names)
        index_of = {name if by_name else str(number): number for number, name in enumerate(names)}
    else:
        named = next((part.values for part in parts if part.in_order), None)
        names = named or tuple(found)
        index_of = {name: number for number, name in enumerate(names)}
    unknown = [value for value in found if value not in index_of]
    if unknown:
        raise _unknown_label(unknown, found, parts, dataset)
    _check_names(names, dataset)
    return names, index_of | left_out


def _check_left_out(parts: Sequence[Part], kind: str, dataset: Dataset) -> None:
    """Checks that the labels to leave out are in the data; a folder's reader does it itself."""
    values = {value for part in parts for value in part.values}
    missing = [label for label in map(str, dataset.about.leave_out) if label not in values]
    if missing and kind != "folder":
        raise InputError(
            f"{dataset.description}: leave_out: found {listed(missing)}, expected labels in the "
            f"data, such as {listed(_sorted(values))}"
        )


def _sorted(values: set[str]) -> list[str]:
    """Numbers by their value, else text by its characters."""
    try:
        return sorted(values, key=lambda value: (int(value), value))
    except ValueError:
        return sorted(values)


def _unknown_label(
    unknown: list[str], found: list[str], parts: Sequence[Part], dataset: Dataset
) -> Exception:
    value = unknown[-1]
    part = next(part for part in parts if value in part.values)
    position = int(np.flatnonzero(part.labels == part.values.index(value))[0])
    count = len(dataset.class_names)
    if set(found) <= {str(number) for number in range(1, count + 1)}:
        hint = "they seem to count from 1, so name them by a mapping, {1: first, 2: second}"
    else:
        hint = f"add it there; a mapping, {{{value}: new name}}, renames"
    message = (
        f"{part.source}: found the label {value!r}, first at image {position + 1:,}, expected one "
        f"of the {count} in class_names of {dataset.description}, by its name or from 0 to "
        f"{count - 1}; {hint}"
    )
    return (IntegrityError if dataset.mirrors else InputError)(message)


def _check_names(names: Sequence[str], dataset: Dataset) -> None:
    if len(names) < 2:  # noqa: PLR2004
        raise InputError(
            f"{dataset.location}: found one class alone, {', '.join(names)}, expected at least 2"
        )
    folded: dict[str, str] = {}
    for name in names:
        other = folded.setdefault(normalize("NFC", name.casefold()), name)
        if other != name:
            what = "case" if other.casefold() == name.casefold() else "the form of their Unicode"
            raise InputError(
                f"{dataset.location}: found the classes {other} and {name}, which differ in {what} "
                f"alone; rename or merge one"
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise InputError(f"{dataset.description}: found the class name {twice} more than once")

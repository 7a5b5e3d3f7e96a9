"""Pictures in folders: one for each class, maybe below train, validation and test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pipeline.data.datasets import DESCRIPTION, Description
from pipeline.data.files import Files
from pipeline.data.parts import Chunk, Part, SplitName, file_chunks, split_of
from pipeline.errors import InputError


@dataclass(frozen=True)
class Run:
    """Files of one kind that follow one another in one folder."""

    folder: tuple[str, ...]  # the names that lead to it
    kind: str | None
    count: int
    first: str  # the path of the first


def scan(files: Files) -> list[Run]:
    """All files as runs: few, however many files there are."""
    runs: list[Run] = []
    for entry in files:
        folder = tuple(entry.path.split("/")[:-1])
        kind, last = entry.kind, runs[-1] if runs else None
        if last and (last.folder, last.kind) == (folder, kind):
            runs[-1] = Run(folder, kind, last.count + 1, last.first)
        else:
            runs.append(Run(folder, kind, 1, entry.path))
    return runs


def read(files: Files, runs: list[Run], about: Description) -> list[Part]:
    """The parts of a folder of pictures.

    Raises:
        InputError: a picture is in no class, or the folders cannot be told apart.
    """
    left_out = set(map(str, about.leave_out))
    start = _start(runs)
    tops = sorted({run.folder[start] for run in runs if run.folder[start:]})
    others = [name for name in tops if not split_of(name)]
    with_splits = "train" in map(split_of, tops)
    if with_splits and others:
        known = [name for name in tops if split_of(name)]
        raise InputError(
            f"{files.root}: found the folders {', '.join(known)} and also {', '.join(others[:4])}, "
            f"expected the splits alone or the classes alone"
        )
    places: dict[SplitName, list[tuple[int, str]]] = {}  # of each run: its number and its class
    for number, run in enumerate(runs):
        split, name = _place(files, run, start, with_splits=with_splits)
        if name is None:
            print(
                f"{files.root / run.first}: is in no folder of a class, so {run.count:,} pictures "
                f"are left out; make predict classifies them"
            )
        elif name not in left_out:
            places.setdefault(split, []).append((number, name))
    missing = left_out - {name for run in runs for name in run.folder[start:]}
    if missing:
        raise InputError(
            f"{files.root / DESCRIPTION}: leave_out: found {', '.join(sorted(missing))}, expected "
            f"names of folders"
        )
    return [_part(files, runs, split, where) for split, where in places.items()]


def _start(runs: list[Run]) -> int:
    """How many folders lead to those of the splits or the classes, each with nothing beside it."""
    depth = 0
    while all(len(run.folder) > depth + 1 for run in runs):
        if len({run.folder[depth] for run in runs}) > 1 or split_of(runs[0].folder[depth]):
            break
        depth += 1
    return depth


def _place(
    files: Files, run: Run, start: int, *, with_splits: bool
) -> tuple[SplitName, str | None]:
    """The split and the class of a run; no class if it is for prediction, as Kaggle has it."""
    names = run.folder[start:]
    split: SplitName = "all"
    if with_splits and names:
        split = split_of(names[0]) or "all"
        names = names[1:]
        if not names and split == "test":
            return split, None
    if not names:
        raise InputError(
            f"{files.root / run.first}: is in no folder of a class, expected each picture in one; "
            f"move or remove it"
        )
    return split, names[0]


def _part(files: Files, runs: list[Run], split: SplitName, places: list[tuple[int, str]]) -> Part:
    values = tuple(sorted({name for _, name in places}))
    position = {name: index for index, name in enumerate(values)}
    labels = np.repeat(
        np.array([position[name] for _, name in places], np.int32),
        [runs[number].count for number, _ in places],
    )
    chosen = {number for number, _ in places}
    return Part(split, str(files.root), labels, values, lambda: _chunks(files, runs, chosen))


def _chunks(files: Files, runs: Sequence[Run], chosen: set[int]) -> Iterator[Chunk]:
    entries = iter(files)
    kept = (
        entry
        for number, run in enumerate(runs[: max(chosen) + 1])
        for entry in islice(entries, run.count)
        if number in chosen
    )
    return file_chunks(files, kept)

"""Numpy's .npz, with arrays named as by Keras (x_train, y_train) or MedMNIST (train_images).

Where arrays have no names, those of the files count, as in KMNIST's kmnist-train-imgs.npz.
"""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from pipeline.data import arrays
from pipeline.data.arrays import Stored
from pipeline.data.datasets import Description
from pipeline.data.files import Files, telling_damage
from pipeline.data.folder import Run
from pipeline.data.parts import Part, SplitName, split_of
from pipeline.errors import InputError, IntegrityError

CONTENTS = {
    **dict.fromkeys(("x", "image", "images", "imgs", "data"), "images"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "labels"),
}

UNNAMED = re.compile(r"arr_\d+")  # what numpy calls an array without a name; the file has it


def read(files: Files, _runs: list[Run], about: Description) -> list[Part]:
    """The parts of an .npz file, or of one for each split.

    Raises:
        InputError: an array is missing, or is a pickle, which is never loaded.
        IntegrityError: a file is damaged.
    """
    found: dict[SplitName, dict[str, Stored]] = {}
    for entry in files:
        of_file = _words(Path(entry.path).stem)
        for name, array in _members(files.path(entry), files.name(entry)):
            words = of_file if UNNAMED.fullmatch(name) else _words(name)
            content = next((CONTENTS[word] for word in words if word in CONTENTS), None)
            known = (one for word in words + of_file if (one := split_of(word)))
            split: SplitName = next(known, "all")
            if not content:
                continue
            other = found.setdefault(split, {}).setdefault(content, array)
            if other is not array:
                raise InputError(
                    f"{array.source}: is a second array of {content} beside {other.source}, "
                    f"expected one for each split; remove or rename one"
                )
    if not found:
        raise InputError(
            f"{files.root}: found no array of images in the .npz file, expected x_train and "
            f"y_train, or train_images and train_labels"
        )
    for split, pair in found.items():
        for content in ("images", "labels"):
            if content not in pair:
                (other,) = pair.values()
                raise InputError(
                    f"{other.source}: found no array of {content} beside it, expected one for each "
                    f"split, such as {'x' if content == 'images' else 'y'}_{split}"
                )
    return [
        arrays.part(split, pair["images"], pair["labels"], about) for split, pair in found.items()
    ]


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def _members(path: Path, source: str) -> Iterator[tuple[str, Stored]]:
    with _archive(path, source) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    for name in names:
        stem = name.removesuffix(".npy")
        where = f"{source}: {stem}"
        with _opened(path, where, name) as file:
            shape, fortran_order, dtype = _header(file, where)
            header = file.tell()
        if dtype.hasobject:
            raise InputError(f"{where}: is a pickle, which is never loaded; store it as numbers")
        if fortran_order and len(shape) > 1:
            raise InputError(f"{where}: is stored column by column; store it in C order")
        yield stem, Stored(where, shape, dtype, partial(_opened, path, where, name, header))


def _header(file: BinaryIO, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)
    except ValueError as error:
        raise IntegrityError(f"{where}: is no array of numpy ({error})") from error


@contextmanager
def _archive(path: Path, source: str) -> Iterator[zipfile.ZipFile]:
    damaged = f"{source}: is no .npz file, or a damaged one"
    with telling_damage(damaged), zipfile.ZipFile(path) as archive:
        yield archive


@contextmanager
def _opened(path: Path, source: str, member: str, position: int = 0) -> Iterator[BinaryIO]:
    with _archive(path, source) as archive, archive.open(member) as file:
        file.read(position)
        yield cast("BinaryIO", file)

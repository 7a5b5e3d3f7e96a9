"""What the tests of this folder use: small datasets, and the stages that read them."""

import tarfile
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.data import sources
from pipeline.data.datasets import find
from pipeline.data.files import Files
from pipeline.data.split import Split
from pipeline.download import provide
from pipeline.params import Preprocess
from pipeline.preprocess import preprocess
from pipeline.records import read_yaml
from tests.support import suite_params

Contents = Mapping[str, bytes | str]

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: NDArray[np.generic]) -> bytes:
    """An IDX file of unsigned bytes, or of 32-bit integers for any other type."""
    dtype, code = ("u1", 8) if array.dtype == np.uint8 else (">i4", 12)
    header = bytes([0, 0, code, array.ndim])
    return header + np.array(array.shape, ">u4").tobytes() + array.astype(dtype).tobytes()


def png(pixels: object, **options: object) -> bytes:
    """A PNG of `pixels`, (height, width) or (height, width, 3), or of a Pillow image."""
    image = (
        pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels, np.uint8))
    )
    return encoded(image, "PNG", **options)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture in any format."""
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def zipped(files: Contents) -> bytes:
    """A .zip file."""
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, one in files.items():
            archive.writestr(name, one)
    return content.getvalue()


def tarred(
    files: Contents, *others: tarfile.TarInfo, mode: Literal["w", "w:gz", "w:xz"] = "w:gz"
) -> bytes:
    """A .tar file, compressed as `mode` says."""
    content = BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, one in files.items():
            encoded = one.encode() if isinstance(one, str) else one
            member = tarfile.TarInfo(name)
            member.size = len(encoded)
            archive.addfile(member, BytesIO(encoded))
        for member in others:
            archive.addfile(member)
    return content.getvalue()


def write(folder: Path, files: Contents) -> Path:
    """Writes files by their paths below `folder`."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def read(folder: Path, name: str = "own", **params: object) -> dict[str, Split]:
    """What the stages download and preprocess make of `folder`/NAME, by split."""
    raw, processed = folder / ".raw", folder / ".processed"
    dataset = find(name, sources=folder)
    provide(dataset, raw=raw, metrics=folder / ".download.json")
    preprocess(
        raw,
        dataset,
        section(**params),
        processed=processed,
        metrics=folder / ".preprocess.json",
    )
    return {split: Split.load(processed / split) for split in ("train", "validation", "test")}


def read_alone(folder: Path, name: str = "own") -> int:
    """How many images of `folder`/NAME are read, without writing anything."""
    labelled = sources.read(Files(folder / name), find(name, sources=folder))
    return sum(len(chunk.load()) for chunk in labelled.chunks())


def section(**params: object) -> Preprocess:
    """The suite's own section preprocess of params.yaml, with changes."""
    own: Any = read_yaml(suite_params().encode(), "params.yaml")
    return Preprocess(**(own["preprocess"] | params))

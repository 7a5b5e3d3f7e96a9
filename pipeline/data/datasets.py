"""The datasets: what is in data/sources, and what the dataset.yaml of each says.

A dataset is a folder there, or a single file. Either it has the data, or its dataset.yaml says
where they are downloaded from. For one's own data dataset.yaml is optional, see docs/own-data.md.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline import paths
from pipeline.errors import InputError, advising, listed
from pipeline.records import read_file, read_yaml
from pipeline.sections import Section, suggestion, validate

DESCRIPTION = "dataset.yaml"
CHUNK = 1 << 20  # bytes

Format = Literal["folder", "csv", "parquet", "npz", "idx", "cifar"]


class File(Section):
    """One file of a dataset. Without .gz in its name, it is decompressed."""

    name: str
    size: int | None = None  # bytes
    sha256: str | None = None
    md5: str | None = None

    @model_validator(mode="after")
    def _has_a_digest(self) -> Self:
        if not (self.sha256 or self.md5):
            raise ValueError(f"files: {self.name}: expected a digest, sha256 or md5")
        if self.name != Path(self.name).name:
            raise ValueError(f"files: found the name {self.name!r}, expected one without folders")
        return self

    def verifies(self, digests: "Digests") -> bool:
        """Whether bytes with these digests are those of this file."""
        return (
            self.size in (None, digests.size)
            and self.sha256 in (None, digests.sha256.hexdigest())
            and self.md5 in (None, digests.md5.hexdigest())
        )

    @property
    def digest(self) -> str:
        """What identifies its bytes."""
        return self.sha256 or f"md5-{self.md5}"


class Digests:
    """The length and the digests of bytes that come piece by piece."""

    def __init__(self) -> None:
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)

    def update(self, content: bytes) -> None:
        """Takes the next bytes."""
        self.size += len(content)
        self.sha256.update(content)
        self.md5.update(content)


class Description(Section):
    """What a dataset.yaml may say."""

    class_names: list[str | int] | dict[str | int, str | int] = Field(
        default=[],
        description="a list of class names in the order of the labels, or a mapping from the labels"
        " in the data to class names",
    )
    leave_out: list[str | int] = Field(
        default=[], description="a list of labels whose images are left out"
    )
    format: Format | None = Field(
        default=None, description="folder, csv, parquet, npz, idx or cifar, how to read the data"
    )
    label: str | int | None = Field(
        default=None,
        description="the column of the labels, by its name or by its position from 0 (-1 is the"
        " last)",
    )
    image: str | None = Field(default=None, description="the name of the column of the images")
    shape: list[int] | None = Field(
        default=None,
        min_length=2,
        max_length=3,
        description="height and width of the images in a table, such as [28, 28], with a third"
        " number, 3, for colour",
    )
    prepare: Literal["mnist"] | None = Field(
        default=None, description="mnist if pictures are digits to be brought into MNIST's form"
    )
    transposed: bool = Field(
        default=False, description="true if images are stored column by column, else false"
    )
    members: str = Field(
        default="*", description="a pattern of the files to unpack from an archive, such as */a*"
    )
    mirrors: list[str] = Field(default=[], description="a list of folders' URLs")
    files: list[File] = Field(
        default=[],
        description="a list of files, each with its name, its sha256 or md5, and maybe its size",
    )

    @model_validator(mode="after")
    def _mirrors_serve_files(self) -> Self:
        if self.mirrors and not self.files:
            raise ValueError("files: found nothing, expected the files that the mirrors serve")
        return self


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset before it is read."""

    name: str
    location: Path  # the folder with its data or its dataset.yaml, or its only file
    about: Description

    @property
    def class_names(self) -> tuple[str, ...]:
        """As dataset.yaml says; empty where the data say so themselves."""
        names = self.about.class_names
        return tuple(map(str, names.values() if isinstance(names, dict) else names))

    @property
    def mirrors(self) -> tuple[str, ...]:
        """Folders or URLs that serve its files, tried in this order; empty if it is here."""
        return tuple(self.about.mirrors)

    @property
    def files(self) -> tuple[File, ...]:
        """Those that dataset.yaml names."""
        return tuple(self.about.files)

    @property
    def description(self) -> Path:
        """The file that describes it."""
        return self.location / DESCRIPTION


def names(sources: Path = paths.SOURCES) -> list[str]:
    """All datasets that there are."""
    if not sources.is_dir():
        return []
    return sorted(
        path.name
        for path in sources.iterdir()
        if not path.name.startswith(".") and path.suffix != ".dvc"
    )


def find(
    name: str, source: str = "params.yaml: dataset.name", sources: Path = paths.SOURCES
) -> Dataset:
    """The dataset called `name`.

    Args:
        name: of a folder or a file in `sources`.
        source: where the name comes from, for messages.
        sources: the folder of all datasets.

    Raises:
        InputError: there is none, or its dataset.yaml is not as it must be.
    """
    known = names(sources)
    if name not in known:
        absent = (sources / f"{name}.dvc").is_file()
        remedy = f"; dvc checkout or dvc pull {sources / name}.dvc brings it" if absent else ""
        raise InputError(
            f"{source}: found {name!r}, expected a folder in {sources}, such as {listed(known)}"
            f"{remedy or suggestion(name, known)}"
        )
    location = sources / name
    path = location / DESCRIPTION
    about = Description()
    if path.exists():
        with advising("see docs/own-data.md"):
            about = validate(Description, read_yaml(read_file(path), str(path)), str(path))
    return Dataset(name, location, about)


def verified(path: Path, file: File) -> bool:
    """Whether `path` holds the bytes of `file`."""
    if not path.is_file() or file.size not in (None, path.stat().st_size):
        return False
    return file.verifies(digests_of(path))


def digests_of(path: Path) -> Digests:
    """The length and the digests of a file."""
    digests = Digests()
    with path.open("rb") as content:
        while chunk := content.read(CHUNK):
            digests.update(chunk)
    return digests

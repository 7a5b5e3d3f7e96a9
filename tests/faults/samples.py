"""Small datasets, good ones and bad ones, and the files in them."""

import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from tests.data.support import IDX_NAMES, idx_bytes, png, write, zipped

Act = Callable[[Path], object]

PICTURE = png([[0, 80], [160, 240]])
NOISE = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)


def pets(changes: Mapping[str, bytes | str | None] | None = None) -> dict[str, bytes | str]:
    """Four pictures of each of two classes, with changes; None takes a file away."""
    usual = {f"{name}/{number}.png": PICTURE for name in ("cat", "dog") for number in range(4)}
    return {name: one for name, one in {**usual, **(changes or {})}.items() if one is not None}


def pets_and(act: Act) -> Act:
    """The same, and something else done in their folder."""

    def data(folder: Path) -> None:
        write(folder, pets())
        act(folder)

    return data


def one_picture(content: bytes | str) -> dict[str, bytes | str]:
    """The pets; one of their pictures has this content."""
    return pets({"cat/1.png": content})


def png_of_size(width: int, height: int) -> bytes:
    """A small PNG whose header promises so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def rows_of_pixels(*rows: str, end: str = "\n") -> str:
    """A table of 2x2 pixels: eight rows of two classes, then `rows`."""
    usual = [f"{number % 2},{number},1,2,3" for number in range(8)]
    return end.join(["label,pixel0,pixel1,pixel2,pixel3", *usual, *rows, ""])


def csv_file(*rows: str, about: str = "") -> dict[str, bytes | str]:
    """A table of 2x2 pixels, and maybe a dataset.yaml."""
    files: dict[str, bytes | str] = {"train.csv": rows_of_pixels(*rows)}
    return files | ({"dataset.yaml": about} if about else {})


def npz_file(**arrays: object) -> bytes:
    """Eight images of 2x2 pixels and their labels, with changes."""
    content = BytesIO()
    usual = {"x_train": np.zeros((8, 2, 2), np.uint8), "y_train": np.arange(8) % 2}
    np.savez(content, **(usual | arrays))  # type: ignore[arg-type]
    return content.getvalue()


class Harm:
    """An object whose pickle runs a command when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harm",)


def pickled() -> bytes:
    """An .npz file with a pickle instead of labels."""
    array = np.empty(8, object)
    array[:] = [Harm() for _ in range(8)]
    return npz_file(y_train=array)


def idx_files(changes: Mapping[str, bytes]) -> dict[str, bytes | str]:
    """Eight images of 2x2 pixels and their labels, with changes."""
    images, labels = IDX_NAMES[:2]
    usual = {
        images: idx_bytes(np.zeros((8, 2, 2), np.uint8)),
        labels: idx_bytes(np.arange(8, dtype=np.uint8) % 2),
    }
    return {**usual, **changes}


def encrypted() -> bytes:
    """A .zip file whose members say that they are encrypted."""
    content = bytearray(zipped(pets()))
    for magic, position in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = content.find(magic)
        while start >= 0:
            content[start + position] |= 1
            start = content.find(magic, start + 1)
    return bytes(content)


def tar_link() -> tarfile.TarInfo:
    """A member that is a link to a file of the machine."""
    member = tarfile.TarInfo("cat/link.png")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
    return member


def damaged(content: bytes) -> bytes:
    """With 20 bytes in the middle replaced."""
    middle = len(content) // 2
    return content[:middle] + bytes(range(20)) + content[middle + 20 :]


def parquet(*pictures: bytes | None) -> Act:
    """Writes a table of pictures as Hugging Face has them; None is a picture that is elsewhere."""

    def data(folder: Path) -> None:
        pytest.importorskip("pyarrow")
        import pyarrow as pa
        from pyarrow.parquet import write_table

        images = [{"bytes": one, "path": f"{number}.png"} for number, one in enumerate(pictures)]
        labels = [number % 2 for number in range(len(pictures))]
        folder.mkdir(parents=True)
        write_table(pa.table({"image": images, "label": labels}), folder / "train.parquet")

    return data


def not_utf8(folder: Path) -> None:
    """Writes a picture whose name is Latin-1."""
    Path(os.fsdecode(os.fsencode(folder) + b"/cat/caf\xe9.png")).write_bytes(PICTURE)


def loop(folder: Path) -> None:
    """Makes two links that lead to each other."""
    (folder / "cat/one.png").symlink_to("two.png")
    (folder / "cat/two.png").symlink_to("one.png")


def linked(folder: Path) -> None:
    """Makes a link to a picture elsewhere."""
    (folder.parent / "elsewhere.txt").write_bytes(PICTURE)
    (folder / "cat/link.png").symlink_to("../../elsewhere.txt")

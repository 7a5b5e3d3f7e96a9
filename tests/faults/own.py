"""The user's own files in data/sources/own are not what they should be, or look as if."""

# tests/faults/test_own.py tries the same rows without DVC, in milliseconds.

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.data.support import IDX_NAMES, Contents, idx_bytes, png, tarred, write, zipped
from tests.faults.fault import Fault, shell, stage
from tests.faults.samples import (
    NOISE,
    PICTURE,
    Act,
    Harm,
    csv_file,
    damaged,
    encrypted,
    idx_files,
    linked,
    loop,
    not_utf8,
    npz_file,
    one_picture,
    parquet,
    pets,
    pets_and,
    pickled,
    png_of_size,
    rows_of_pixels,
    tar_link,
)
from tests.support import Workspace

OWN = "data/sources/own"
PARAMS: dict[str, object] = {
    "dataset.name": "own",
    "preprocess.test": 2,
    "preprocess.validation": 2,
}


def nothing(_root: Path) -> None:
    """Does nothing."""


@dataclass(frozen=True)
class Own:
    """A row: data of one's own, and what becomes of them."""

    what: str
    data: Act | Contents  # the files of the dataset, or a function that writes them into a folder
    line: str
    code: int = 2
    stage: str = "preprocess"  # which stage ends like that
    params: Mapping[str, object] = field(default_factory=dict)
    between: Act = nothing  # what happens between the two stages, in the repository

    def write(self, root: Path) -> None:
        """Writes the dataset into the repository `root`."""
        if isinstance(self.data, Mapping):
            write(root / OWN, self.data)
        else:
            self.data(root / OWN)

    def prepare(self, workspace: Workspace) -> None:
        """Everything before the stage that the row is about. What ends well is what is there."""
        self.write(workspace.root)
        for key, value in (PARAMS | dict(self.params)).items():
            workspace.set(key, value)
        if self.stage == "preprocess":
            workspace.run("python", "-m", "pipeline.download")
        self.between(workspace.root)
        if self.code == 0:
            workspace.run("python", "-m", "pipeline.preprocess")

    @property
    def fault(self) -> Fault:
        """The row for docs/faults.md."""
        return Fault(
            f"{self.stage}: {self.what}",
            stage(self.stage),
            self.code,
            self.line,
            self.prepare,
            undo=shell("git clean --quiet -d --force; git checkout --quiet HEAD ."),
            nightly=True,
        )


def change(path: str, content: bytes | str | None) -> Act:
    """Changes a file of the dataset, or takes it away."""

    def act(root: Path) -> None:
        file = root / OWN / path
        file.unlink()
        if content is not None:
            write(root / OWN, {path: content})

    return act


def into_folder(root: Path) -> None:
    (root / OWN / "cat/1.png").unlink()
    (root / OWN / "cat/1.png").mkdir()


SKIP = {"preprocess.broken": "skip"}
READ = "train: 4 images of 2x2 pixels"  # of eight pictures, two are held out twice
NAMES = ["a b", "'quoted'", 'a "word"', "\U0001f431", "é, ü; ß", "line\nbreak", "#1", "-n", "%s"]
MORE = [f"{name}/{number}.jpeg" for number in range(20) for name in ("cat", "dog")]

PICTURES = [
    Own("a picture is empty", one_picture(b""), f"{OWN}/cat/1.png: is empty; replace it, or "),
    Own("a picture is cut off", one_picture(png(NOISE)[:1000]), f"{OWN}/cat/1.png: is damaged ("),
    Own("a picture is damaged", one_picture(damaged(png(NOISE))), f"{OWN}/cat/1.png: is damaged ("),
    Own(
        "a picture is a text",
        one_picture("hello"),
        f"{OWN}/cat/1.png: is none of PNG, JPEG, WEBP, ",
    ),
    Own(
        "a picture has no pixel",
        one_picture(png_of_size(0, 2)),
        f"{OWN}/cat/1.png: is damaged (",
    ),
    Own(
        "a picture promises 50,000 pixels a side",
        one_picture(png_of_size(50_000, 50_000)),
        f"{OWN}/cat/1.png: has 50,000 rows and 50,000 columns, expected 1 to 20,000 of each and at",
    ),
    Own(
        "a picture promises 50,000 columns",
        one_picture(png_of_size(50_000, 1)),
        f"{OWN}/cat/1.png: has 1 rows and 50,000 columns, expected 1 to 20,000 of each",
    ),
    Own(
        "25 pictures of many are broken",
        pets(dict.fromkeys(MORE, PICTURE) | dict.fromkeys(MORE[:25], "x")),
        "25 pictures cannot be read; replace them, or preprocess.broken: skip leaves out what "
        "cannot be read:\n  data/sources/own/cat/0.jpeg: is none of PNG, ",
    ),
    Own(
        "25 pictures of many are broken, and preprocess.broken is skip",
        pets(dict.fromkeys(MORE, PICTURE) | dict.fromkeys(MORE[:25], "x")),
        "left out 25 pictures:",
        0,
        params=SKIP,
    ),
    Own(
        "all pictures of a class are broken, and preprocess.broken is skip",
        pets({f"cat/{number}.png": "x" for number in range(4)}),
        f"{OWN}: no image of class cat, expected some of each of the 2 classes",
        params=SKIP,
    ),
    Own(
        "all pictures are broken, and preprocess.broken is skip",
        pets(dict.fromkeys(pets(), "x")),
        f"{OWN}: no image of class cat, dog, expected some of each of the 2 classes",
        params=SKIP,
    ),
    Own(
        "pictures are of several sizes",
        one_picture(png([[1, 2, 3], [4, 5, 6]])),
        f"{OWN}: found images of 2 sizes, 2x2 (7), 2x3 (1), height by width; set preprocess.size",
    ),
    Own(
        "pictures are of several sizes, and preprocess.size is set",
        one_picture(png([[1, 2, 3], [4, 5, 6]])),
        READ,
        0,
        params={"preprocess.size": 2},
    ),
]
FOLDERS = [
    Own(
        "a folder of a class is empty",
        pets_and(lambda folder: (folder / "owl").mkdir()),
        f"{OWN}/owl: found a folder without a file that can be read; convert its files",
        stage="download",
    ),
    Own(
        "there is no data at all",
        {"README.md": "hello"},
        f"{OWN}: found no data, expected pictures, a table or an archive",
        stage="download",
    ),
    Own(
        "there is one class alone",
        {"cat/1.png": PICTURE, "cat/2.png": PICTURE},
        f"{OWN}: found one class alone, cat, expected at least 2",
    ),
    Own(
        "a picture is in no class",
        pets({"1.png": PICTURE}),
        f"{OWN}/1.png: is in no folder of a class, expected each picture in one",
    ),
    Own(
        "two classes differ in case alone",
        pets({"Dog/1.png": PICTURE}),
        f"{OWN}: found the classes Dog and dog, which differ in case alone; rename or merge one",
    ),
    Own("a picture is a link to a file", pets_and(linked), "train: 5 images of 2x2 pixels", 0),
    Own(
        "a class is a link to a folder",
        pets_and(lambda folder: (folder / "owl").symlink_to("cat")),
        f"{OWN}/owl: is a link to a folder, expected files; copy the folder itself",
        stage="download",
    ),
    Own(
        "a link to a folder goes round in a circle",
        pets_and(lambda folder: (folder / "cat/cat").symlink_to("..")),
        f"{OWN}/cat/cat: is a link to a folder, expected files",
        stage="download",
    ),
    Own(
        "links to files go round in a circle",
        pets_and(loop),
        f"{OWN}/cat/one.png: is a link that leads nowhere; remove it or restore its file",
        stage="download",
    ),
    Own(
        "a picture is a link to nowhere",
        pets_and(lambda folder: (folder / "cat/5.png").symlink_to("6.png")),
        f"{OWN}/cat/5.png: is a link that leads nowhere; remove it or restore its file",
        stage="download",
    ),
    Own(
        "a picture is a pipe",
        pets_and(lambda folder: os.mkfifo(folder / "cat/5.png")),
        f"{OWN}/cat/5.png: is neither a file nor a folder; remove it",
        stage="download",
    ),
    Own(
        "names have spaces, quotes, emoji, line breaks",
        {f"{name}/{other}.png": PICTURE for name in NAMES for other in NAMES},
        "train: 41 images of 2x2 pixels",
        0,
        params={"preprocess.test": 20, "preprocess.validation": 20},
    ),
    Own(
        "names are of 255 bytes",
        {f"{name * 255}/{number:0251}.png": PICTURE for name in "ab" for number in range(4)},
        READ,
        0,
    ),
    Own(
        "a name is not UTF-8",
        pets_and(not_utf8),
        rf"{OWN}/cat/caf\xe9.png: found a name that is not UTF-8, expected one that is; rename it",
        stage="download",
    ),
    Own(
        "there are several formats",
        pets({"data.npz": npz_file()}),
        f"{OWN}: found data in several formats, such as cat/0.png, data.npz; expected one",
    ),
]
TABLES = [
    Own(
        "a row of a table is too short",
        csv_file("1,2,3"),
        f"{OWN}/train.csv: line 10: found 3 values, expected 5",
    ),
    Own(
        "a row of a table is too long",
        csv_file("1,2,3,4,5,6"),
        f"{OWN}/train.csv: line 10: found 6 values, expected 5",
    ),
    Own(
        "a label is missing",
        csv_file(",2,3,4,5"),
        f"{OWN}/train.csv: line 10: found no label, expected one in each row",
    ),
    Own(
        "a label is NaN",
        csv_file("nan,2,3,4,5"),
        f"{OWN}/train.csv: line 10: found no label, expected one in each row",
    ),
    Own(
        "a pixel is missing",
        csv_file("1,2,3,,5"),
        f"{OWN}/train.csv: line 10: found '' in column 4, expected a whole number from 0 to 255",
    ),
    Own(
        "a pixel is NaN",
        csv_file("1,2,3,NaN,5"),
        f"{OWN}/train.csv: line 10: found 'NaN' in column 4, expected a whole number from 0",
    ),
    Own(
        "a pixel is 256",
        csv_file("1,2,3,256,5"),
        f"{OWN}/train.csv: line 10: found '256' in column 4, expected a whole number from 0",
    ),
    Own(
        "a label is no number, and class_names are a list",
        csv_file("owl,2,3,4,5", about="class_names: [cat, dog]\n"),
        f"{OWN}/train.csv: found the label 'owl', first at image 9, expected one of the 2 in cla",
    ),
    Own(
        "labels count from 1",
        {
            "train.csv": rows_of_pixels().replace("\n0,", "\n2,"),
            "dataset.yaml": "class_names: [cat, dog]\n",
        },
        "they seem to count from 1, so name them by a mapping, {1: first, 2: second}",
    ),
    Own("a table is empty", {"train.csv": ""}, f"{OWN}/train.csv: is empty, expected a table"),
    Own(
        "a table has a header alone",
        {"train.csv": "label,pixel0,pixel1,pixel2,pixel3\n"},
        f"{OWN}/train.csv: found a header alone, expected rows below it",
    ),
    Own(
        "a table is not UTF-8",
        {"train.csv": rows_of_pixels().encode("utf-16")},
        f"{OWN}/train.csv: is not text in UTF-8 (",
    ),
    Own("a table has a byte order mark", {"train.csv": "\ufeff" + rows_of_pixels()}, READ, 0),
    Own("a table has CRLF line ends", {"train.csv": rows_of_pixels(end="\r\n")}, READ, 0),
    Own("a table has semicolons", {"train.csv": rows_of_pixels().replace(",", ";")}, READ, 0),
    Own(
        "a table names a picture that is not there",
        pets({"labels.csv": "image,label\ncat/0.png,cat\ncat/9.png,cat\n"}),
        f"{OWN}/labels.csv: line 3: found no picture called 'cat/9.png', expected one",
    ),
    Own(
        "a table of pictures lacks a label",
        pets({"labels.csv": "image,label\ncat/0.png,cat\ndog/0.png,\n"}),
        f"{OWN}/labels.csv: line 3: found no label, expected one in each row",
    ),
    Own(
        "a row of a table of pictures is too short",
        pets({"labels.csv": "image,label\ncat/0.png,cat\ndog/0.png\n"}),
        f"{OWN}/labels.csv: line 3: found 1 values, expected 2",
    ),
]
ARRAYS = [
    Own(
        "an .npz file has a pickle, which is never loaded",
        {"data.npz": pickled()},
        f"{OWN}/data.npz: y_train: is a pickle, which is never loaded; store it as numbers",
    ),
    Own(
        "an .npz file is a pickle",
        {"data.npz": pickle.dumps(Harm())},
        f"{OWN}/data.npz: is no .npz file, or a damaged one",
        4,
    ),
    Own(
        "an .npz file is cut off",
        {"data.npz": npz_file()[:-100]},
        f"{OWN}/data.npz: is no .npz file, or a damaged one",
        4,
    ),
    Own("an .npz file is damaged", {"data.npz": damaged(npz_file())}, f"{OWN}/data.npz", 4),
    Own(
        "an .npz file has no labels",
        {"data.npz": npz_file().replace(b"y_train", b"z_train")},
        f"{OWN}/data.npz: x_train: found no array of labels beside it, expected one for each",
    ),
    Own(
        "pixels of an .npz file are NaN",
        {"data.npz": npz_file(x_train=np.full((8, 2, 2), np.nan))},
        f"{OWN}/data.npz: x_train: found pixels of type float64, expected whole numbers from 0",
    ),
    Own(
        "labels of an .npz file are NaN",
        {"data.npz": npz_file(y_train=np.full(8, np.nan))},
        f"{OWN}/data.npz: y_train: found the label nan at position 0, expected a whole number",
    ),
    Own(
        "an IDX file is empty",
        idx_files({IDX_NAMES[0]: b""}),
        f"{OWN}/train-images-idx3-ubyte: starts with nothing, expected an IDX file",
        4,
    ),
    Own(
        "an IDX file is cut off",
        idx_files({IDX_NAMES[0]: idx_bytes(np.zeros((8, 2, 2)))[:-1]}),
        f"{OWN}/train-images-idx3-ubyte: its header promises 128 bytes, a shape of (8, 2, 2), but",
        4,
    ),
    Own(
        "an IDX file is a web page",
        idx_files({IDX_NAMES[0]: b"<html>"}),
        f"{OWN}/train-images-idx3-ubyte: starts with 3c 68 74 6d, expected an IDX file",
        4,
    ),
    Own(
        "a compressed IDX file is a web page",
        {"train-images-idx3-ubyte.gz": b"<html>", **idx_files({})},
        f"{OWN}/train-images-idx3-ubyte.gz: is a broken .gz file",
        4,
    ),
    Own(
        "labels and images are not equally many",
        idx_files({IDX_NAMES[1]: idx_bytes(np.arange(5, dtype=np.uint8))}),
        f"{OWN}/train-labels-idx1-ubyte: found 5 labels, expected one for each of 8 images",
        4,
    ),
    Own(
        "a file of CIFAR-10 is cut off",
        {"data_batch_1.bin": bytes(3072)},
        f"{OWN}/data_batch_1.bin: has 3,072 bytes, expected a multiple of 3,073",
        4,
    ),
    Own(
        "a Parquet file has no bytes of pictures",
        parquet(PICTURE, None),
        f"{OWN}/train.parquet: row 2: found no bytes of a picture in the column image",
    ),
    Own(
        "a picture in a Parquet file is broken",
        parquet(PICTURE, PICTURE, b"hello", PICTURE),
        f"{OWN}/train.parquet: row 3: is none of PNG, JPEG, WEBP, BMP, GIF, TIFF, or is damaged",
    ),
    Own(
        "there is a Parquet file and no pyarrow",
        {"train.parquet": b"PAR1"},
        f"{OWN}/train.parquet: is Parquet, which pyarrow reads; install it: make extras",
        between=lambda root: write(root, {"pyarrow.py": "raise ImportError\n"}),
    ),
]
ARCHIVES = [
    Own(
        "a member of a .zip file would lie outside",
        {"a.zip": zipped({"../cat/1.png": PICTURE})},
        f"{OWN}/a.zip: the member '../cat/1.png' would lie outside of the folder",
        stage="download",
    ),
    Own(
        "a member of a .zip file has an absolute path",
        {"a.zip": zipped({"/etc/1.png": PICTURE})},
        f"{OWN}/a.zip: the member '/etc/1.png' would lie outside of the folder",
        stage="download",
    ),
    Own(
        "a member of a .tar file would lie outside",
        {"a.tar.gz": tarred({"../1.png": PICTURE})},
        f"{OWN}/a.tar.gz: ",
        stage="download",
    ),
    Own(
        "a member of a .tar file is a link to outside",
        {"a.tar.gz": tarred(pets(), tar_link())},
        f"{OWN}/a.tar.gz: ",
        stage="download",
    ),
    Own(
        "a .tar.gz file is cut off",
        {"a.tar.gz": tarred(pets())[:-100]},
        f"{OWN}/a.tar.gz: is a damaged or encrypted archive (",
        4,
        "download",
    ),
    Own(
        "a .tar.gz file is damaged",
        {"a.tar.gz": damaged(tarred(pets()))},
        f"{OWN}/a.tar.gz: is a damaged or encrypted archive (",
        4,
        "download",
    ),
    Own(
        "a .zip file is damaged",
        {"a.zip": damaged(zipped(pets()))},
        f"{OWN}/a.zip: is a damaged or encrypted archive (",
        4,
        "download",
    ),
    Own(
        "a .zip file is encrypted",
        {"a.zip": encrypted()},
        f"{OWN}/a.zip: is a damaged or encrypted archive (",
        4,
        "download",
    ),
    Own(
        "a .zip file is a text",
        {"a.zip": "hello"},
        f"{OWN}/a.zip: is a damaged or encrypted archive (",
        4,
        "download",
    ),
    Own(
        "there are pictures beside an archive",
        pets({"a.zip": zipped(pets())}),
        f"{OWN}: found an archive and other data, expected either",
        stage="download",
    ),
]
INTEGRITY = [
    Own(
        "dataset.yaml names another digest",
        pets(
            {
                "dataset.yaml": f"files: [{{name: cat.npz, sha256: {64 * 'f'}}}]\n",
                "cat.npz": npz_file(),
            }
        ),
        f"{OWN}/cat.npz: is not the file that {OWN}/dataset.yaml names; restore the file, or",
        4,
        "download",
    ),
    Own(
        "dataset.yaml has an unknown key",
        pets({"dataset.yaml": "classes: [cat, dog]\n"}),
        f"{OWN}/dataset.yaml: classes: unknown key, expected only class_names",
        stage="download",
    ),
    Own(
        "a picture changes between download and preprocess",
        pets(),
        f"{OWN}/cat/1.png: has changed since the stage download listed it; run dvc repro",
        4,
        between=change("cat/1.png", png([[1]])),
    ),
    Own(
        "a picture goes between download and preprocess",
        pets(),
        f"{OWN}/cat/1.png: has gone since the stage download listed it; run dvc repro",
        4,
        between=change("cat/1.png", None),
    ),
    Own(
        "a picture becomes a folder between download and preprocess",
        pets(),
        f"{OWN}/cat/1.png: has gone since the stage download listed it; run dvc repro",
        4,
        between=into_folder,
    ),
    Own(
        "a table changes between download and preprocess",
        csv_file(),
        f"{OWN}/train.csv: has changed since the stage download listed it; run dvc repro",
        4,
        between=change("train.csv", rows_of_pixels("0,1,2,3,4")),
    ),
]
OWNS = [*PICTURES, *FOLDERS, *TABLES, *ARRAYS, *ARCHIVES, *INTEGRITY]
FAULTS = [own.fault for own in OWNS]

"""The data are not what they should be."""

import gzip

import numpy as np

from pipeline.data import idx
from tests.faults.fault import Fault, change, remove, shell, stage

IMAGES, LABELS = "data/raw/train-images-idx3-ubyte", "data/raw/train-labels-idx1-ubyte"
AGAIN = "; delete data/raw and run dvc repro"


EMPTY = "rm data/raw/* .pipeline/downloads/*"


def _raw(what: str, code: int, line: str, path: str, content: bytes) -> Fault:
    prepare = change(path, lambda _: content)
    return Fault(f"preprocess: {what}", stage("preprocess"), code, line, prepare)


AWAY, BACK = "mv data/digits elsewhere", "mv elsewhere data/digits"  # the only mirror at hand
DAMAGE = "for file in .pipeline/downloads/*; do rm -f $file; echo damaged > $file; done"


def _processed(what: str, line: str, path: str, content: bytes | None) -> Fault:
    prepare = remove(path) if content is None else change(path, lambda _: content)
    return Fault(f"train: {what}", stage("train"), 2, line, prepare)


FAULTS = [
    Fault(
        "preprocess: a file of the dataset is missing",
        stage("preprocess"),
        2,
        f"{IMAGES}: no such file{AGAIN}",
        remove(IMAGES),
    ),
    Fault(
        "preprocess: a file of the dataset is cut off",
        stage("preprocess"),
        4,
        f"{IMAGES}: its header promises 91,968 values of shape (1437, 8, 8), 91,967 follow{AGAIN}",
        change(IMAGES, lambda content: content[:-1]),
    ),
    _raw("a file of the dataset is empty", 4, f"{IMAGES}: starts with nothing", IMAGES, b""),
    _raw(
        "a file of the dataset is still compressed",
        4,
        f"{IMAGES}: starts with 1f 8b 08 00, expected 00 00 08 03",
        IMAGES,
        gzip.compress(bytes(100), mtime=0),
    ),
    _raw("a file of the dataset is a web page", 4, "starts with 3c 68 74 6d", IMAGES, b"<html>"),
    _raw(
        "labels and images are not equally many",
        4,
        f"{LABELS}: 5 labels for 1,437 images{AGAIN}",
        LABELS,
        idx.encode(np.zeros(5, np.uint8)),
    ),
    _raw(
        "labels count from 1",
        4,
        f"{LABELS}: label 10 at position 9, expected 0 to 9, one for each of 10 class names; they "
        f"seem to count from 1, so subtract 1 from each",
        LABELS,
        idx.encode((np.arange(1437) % 10 + 1).astype(np.uint8)),
    ),
    _raw(
        "labels are 32-bit integers",
        4,
        f"{LABELS}: starts with 00 00 0c 01, 32-bit integers in 1 dimension, expected 00 00 08 01",
        LABELS,
        bytes([0, 0, 12, 1]) + bytes(4),
    ),
    _raw(
        "images are in colour",
        4,
        f"{IMAGES}: starts with 00 00 08 04, unsigned bytes in 4 dimensions, expected 00 00 08 03",
        IMAGES,
        idx.encode(np.zeros((1, 8, 8, 3), np.uint8)),
    ),
    _raw(
        "training and test images differ in size",
        4,
        "data/raw: training images are 9x9 pixels, test images are 8x8 pixels",
        IMAGES,
        idx.encode(np.ones((1437, 9, 9), np.uint8)),
    ),
    _raw(
        "there is one class alone",
        2,
        f"{LABELS}: no training image of class 0, 2, 3, 4, 5, 6, 7, 8, 9, expected some of each",
        LABELS,
        idx.encode(np.ones(1437, np.uint8)),
    ),
    Fault(
        "download: one mirror cannot be reached, the other has damaged files",
        f"DATASET_MIRROR=http://127.0.0.1:9 {stage('download')}",
        4,
        "train-images-idx3-ubyte: no mirror served it",
        shell(f"{EMPTY}; echo damaged > data/digits/train-images-idx3-ubyte.gz"),
        undo=shell("git restore data/digits"),
    ),
    Fault(
        "download: no mirror has the files",
        stage("download"),
        3,
        "data/digits: no such folder\n  offline? set DATASET_MIRROR to a folder that has the files",
        shell(f"{EMPTY}; {AWAY}"),
        undo=shell(BACK),
    ),
    Fault(
        "download: a mirror is of an unknown kind",
        f"DATASET_MIRROR=ftp://user:pass@localhost {stage('download')}",
        2,
        "mirror ftp://***@localhost: expected a folder, or an http or https URL",
    ),
    Fault(
        "download: the code has changed and there is no network",
        "dvc repro download",
        0,
        "bytes from .pipeline/downloads, verified",
        shell(f"echo '# a comment' >> pipeline/params.py; {AWAY}"),
        undo=shell(f"{BACK}; git checkout --quiet HEAD ."),
    ),
    Fault(
        "download: a kept file is damaged",
        stage("download"),
        0,
        "bytes from data/digits, verified",
        shell(f"{DAMAGE}; rm data/raw/t10k-labels-idx1-ubyte"),
    ),
    _processed(
        "its images are missing",
        "data/processed/train: cannot be read",
        "data/processed/train/images.npy",
        None,
    ),
    _processed(
        "its labels are cut off",
        "data/processed/train: cannot be read",
        "data/processed/train/labels.npy",
        b"\x93NUMPY\x01\x00",
    ),
    _processed(
        "its images are a pickle",
        "data/processed/train: cannot be read",
        "data/processed/train/images.npy",
        b"\x80\x04N.",
    ),
    _processed(
        "its class names are damaged",
        "data/processed/train: cannot be read",
        "data/processed/train/about.json",
        b"[]",
    ),
    _processed(
        "its class names are not text",
        "data/processed/validation: cannot be read",
        "data/processed/validation/about.json",
        b"\xff",
    ),
]

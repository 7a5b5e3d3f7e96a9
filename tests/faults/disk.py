"""The file system refuses."""

import errno

from tests.faults.fault import AT_HAND, Fault, downloading, nothing, shell, stage, strike, write

FILES = {  # one that each stage writes
    "download": "t10k-labels-idx1-ubyte",
    "preprocess": "labels.npy",
    "train": "history.csv",
    "evaluate": "confusion.png",
}
FOLDERS = {"download": "data/raw", "preprocess": "data/processed"}  # replaced in one go
ERRORS = {
    errno.ENOSPC: ("the disk is full", "No space left on device; make room, then run it again"),
    errno.EDQUOT: ("the quota is used up", "Disk quota exceeded; make room, then run it again"),
    errno.EIO: ("the disk fails", "Input/output error; check the disk, then run it again"),
}
MOMENTS = [
    ("write", errno.ENOSPC, "while {} is written"),
    ("write", errno.EDQUOT, "while {} is written"),
    ("write", errno.EIO, "while {} is written"),
    ("fsync", errno.EIO, "when {} must reach the disk"),
    ("rename", errno.ENOSPC, "when {} takes its place"),
]


def _refused(stage_name: str, call: str, number: int, moment: str) -> Fault:
    what, line = ERRORS[number]
    path = FILES[stage_name]
    if call == "rename":
        path = FOLDERS.get(stage_name, path)
    return Fault(
        f"{stage_name}: {what} {moment.format(path)}",
        stage(stage_name),
        6,
        line,
        downloading() if stage_name == "download" else nothing,
        strike(call, path, error=number),
        undo=AT_HAND if stage_name == "download" else nothing,
        fast=stage_name == "preprocess" and (call, number) == ("rename", errno.ENOSPC),
        nightly=stage_name != "preprocess" and (call, number) != ("write", errno.ENOSPC),
    )


FAULTS = [
    *(_refused(name, *moment) for name in FILES for moment in MOMENTS),
    *(
        Fault(
            f"{name}: only small files may be written (`ulimit -f`)",
            f"ulimit -f 10; exec {stage(name)}",
            6,
            "make room, then run it again",
            downloading() if name == "download" else nothing,
            undo=AT_HAND if name == "download" else nothing,
            nightly=name != "preprocess",
        )
        for name in FILES
    ),
    Fault(
        "download: the disk is full while manifest.csv is written",
        stage("download"),
        6,
        "No space left on device; make room, then run it again",
        variables=strike("write", "manifest.csv", error=errno.ENOSPC),
        fast=True,
    ),
    Fault(
        "train: hard links are impossible",
        stage("train"),
        0,
        "validation images",
        variables=strike("link", "metrics", error=errno.EPERM),
        nightly=True,
    ),
    Fault(
        "preprocess: the folder cannot be synchronized, as on some network file systems",
        stage("preprocess"),
        0,
        "images of 8x8 pixels",
        variables=strike("fsync", "data", error=errno.EINVAL),
    ),
    Fault(
        "preprocess: metrics/ is a file",
        stage("preprocess"),
        6,
        "metrics: File exists; something else is in its place, move it away, then run it again",
        shell("mv metrics elsewhere; echo text > metrics"),
        undo=shell("rm metrics; mv elsewhere metrics"),
        fast=True,
    ),
    Fault(
        "train: metrics/timing.json is a folder",
        stage("train"),
        0,
        "validation images",
        shell("rm metrics/timing.json; mkdir metrics/timing.json"),
        nightly=True,
    ),
    Fault(
        "preprocess: metrics/timing.json is damaged",
        stage("preprocess"),
        0,
        "images of 8x8 pixels",
        write("metrics/timing.json", "[{"),
    ),
    Fault(
        "preprocess: folders and files of an interrupted run are in the way",
        stage("preprocess"),
        0,
        "images of 8x8 pixels",
        shell(
            "echo text > data/.processed.tmp; mkdir -p data/.processed.old/train; "
            "mkdir -p metrics/.preprocess.json.tmp/folder; "
            "ln -s /nowhere metrics/.preprocess.json.old"
        ),
    ),
    Fault(
        "download: data/raw is a file",
        stage("download"),
        0,
        "data/sources/digits: 4 files, 44,778 bytes, listed",
        shell("rm -r data/raw; echo text > data/raw"),
    ),
    Fault(
        "download: data/raw is a link to nowhere",
        stage("download"),
        0,
        "data/sources/digits: 4 files, 44,778 bytes, listed",
        shell("rm -r data/raw; ln -s nowhere data/raw"),
        fast=True,
    ),
    Fault(
        "evaluate: the home folder cannot be written",
        stage("evaluate"),
        0,
        "accuracy",
        variables={"HOME": "/nonexistent"},
        nightly=True,
    ),
    Fault(
        "train: TMPDIR does not exist",
        stage("train"),
        0,
        "validation images",
        variables={"TMPDIR": "/nonexistent"},
        nightly=True,
    ),
]

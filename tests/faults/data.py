"""The data are not what they should be."""

from tests.faults.fault import AT_HAND, Fault, change, downloading, remove, shell, stage

IMAGES = "data/sources/digits/train-images-idx3-ubyte.gz"
MANIFEST = "data/raw/manifest.csv"
DAMAGE = "for file in .pipeline/downloads/*; do rm -f $file; echo damaged > $file; done"


def _processed(what: str, line: str, path: str, content: bytes | None) -> Fault:
    prepare = remove(path) if content is None else change(path, lambda _: content)
    return Fault(f"train: {what}", stage("train"), 2, line, prepare)


FAULTS = [
    Fault(
        "download: a file of the dataset is not what dataset.yaml says",
        stage("download"),
        4,
        f"{IMAGES}: is not the file that data/sources/digits/dataset.yaml names; restore the file",
        change(IMAGES, lambda content: content[:-1]),
        undo=shell("git restore data/sources"),
    ),
    Fault(
        "download: a file of the dataset is missing",
        stage("download"),
        4,
        f"{IMAGES}: is not the file that data/sources/digits/dataset.yaml names; restore the file",
        remove(IMAGES),
        undo=shell("git restore data/sources"),
    ),
    Fault(
        "preprocess: a file of the dataset has changed since download",
        stage("preprocess"),
        4,
        f"{IMAGES}: has changed since the stage download listed it; run dvc repro",
        change(IMAGES, lambda content: content[:-1]),
        undo=shell("git restore data/sources"),
    ),
    Fault(
        "preprocess: the list of files is missing",
        stage("preprocess"),
        2,
        "data/raw: found no file; run dvc repro",
        remove(MANIFEST),
    ),
    Fault(
        "preprocess: the list of files is damaged",
        stage("preprocess"),
        2,
        f"{MANIFEST}: cannot be read; run dvc repro",
        change(MANIFEST, lambda content: content[:-1] + b",,\n"),
    ),
    Fault(
        "download: one mirror cannot be reached, the other has damaged files",
        f"DATASET_MIRROR=http://127.0.0.1:9 {stage('download')}",
        4,
        "train-images-idx3-ubyte.gz: no mirror served it",
        downloading("echo damaged > served/train-images-idx3-ubyte.gz"),
        undo=AT_HAND,
    ),
    Fault(
        "download: no mirror has the files",
        stage("download"),
        3,
        "served: no such folder\n  offline? set DATASET_MIRROR to a folder that has the files",
        downloading("rm -r served"),
        undo=AT_HAND,
    ),
    Fault(
        "download: a mirror is of an unknown kind",
        f"DATASET_MIRROR=ftp://user:pass@localhost {stage('download')}",
        2,
        "mirror ftp://***@localhost: expected a folder, or an http or https URL",
        downloading(),
        undo=AT_HAND,
    ),
    Fault(
        "download: the code has changed and there is no network",
        "dvc repro download",
        0,
        "bytes from .pipeline/downloads, verified",
        downloading(stage("download"), "rm -r served", "echo '# a comment' >> pipeline/params.py"),
        undo=AT_HAND,
    ),
    Fault(
        "download: a kept file is damaged",
        f"rm data/raw/t10k-labels-idx1-ubyte.gz; {stage('download')}",
        0,
        "bytes from served, verified",
        downloading(stage("download"), DAMAGE),
        undo=AT_HAND,
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

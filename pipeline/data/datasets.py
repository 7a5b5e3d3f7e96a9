"""The datasets, a row each. To add one, add its row; nothing else knows their names.

Every dataset is four IDX files with the names below. Digests are of the decompressed files, so a
mirror may serve them plain or compressed by any program.
"""

import hashlib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pipeline.errors import InputError

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class File:
    """One file of a dataset, decompressed."""

    name: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset before it is downloaded."""

    name: str
    class_names: tuple[str, ...]
    mirrors: tuple[str, ...]  # folders or URLs, tried in this order
    files: tuple[File, ...]


DATASETS = {
    dataset.name: dataset
    for dataset in (
        # Yann LeCun and Corinna Cortes, CC BY-SA 3.0: 60,000 and 10,000 images of 28x28 pixels.
        Dataset(
            name="mnist",
            class_names=DIGITS,
            mirrors=(
                "https://ossci-datasets.s3.amazonaws.com/mnist",
                "https://storage.googleapis.com/cvdf-datasets/mnist",
            ),
            files=(
                File(
                    TRAIN_IMAGES,
                    47_040_016,
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                ),
                File(
                    TRAIN_LABELS,
                    60_008,
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                ),
                File(
                    TEST_IMAGES,
                    7_840_016,
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                ),
                File(
                    TEST_LABELS,
                    10_008,
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
            ),
        ),
        # In this repository, see data/mnist_sample/README.md: 10,000 and 2,000 images of MNIST.
        Dataset(
            name="mnist_sample",
            class_names=DIGITS,
            mirrors=("data/mnist_sample",),
            files=(
                File(
                    TRAIN_IMAGES,
                    7_840_016,
                    "438ba099335a695db401b4cc1a9ebb5e26f3f6800536cda63de250fa022053bd",
                ),
                File(
                    TRAIN_LABELS,
                    10_008,
                    "cdc933926617e78fa735e9296757e93f869734837ddb53260df98126675ca7c4",
                ),
                File(
                    TEST_IMAGES,
                    1_568_016,
                    "544b11e980491b35ea0a29d267be603798a522d267bd875eefdf185f2a90b4ed",
                ),
                File(
                    TEST_LABELS,
                    2_008,
                    "00c8ee896b56b1f141feedeefecd0ec606a7715b411eb44be7e1b1decd17e3fd",
                ),
            ),
        ),
        # Zalando SE, MIT: 60,000 and 10,000 images of 28x28 pixels.
        Dataset(
            name="fashion_mnist",
            class_names=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
            files=(
                File(
                    TRAIN_IMAGES,
                    47_040_016,
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                ),
                File(
                    TRAIN_LABELS,
                    60_008,
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                ),
                File(
                    TEST_IMAGES,
                    7_840_016,
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                ),
                File(
                    TEST_LABELS,
                    10_008,
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ),
            ),
        ),
        # In this repository, see data/digits/README.md: 1,437 and 360 images of 8x8 pixels.
        Dataset(
            name="digits",
            class_names=DIGITS,
            mirrors=("data/digits",),
            files=(
                File(
                    TRAIN_IMAGES,
                    91_984,
                    "41e463fb11442353328aed136a72ca93512604a7ae6e294205756d54294c7502",
                ),
                File(
                    TRAIN_LABELS,
                    1_445,
                    "f8a600b73e2c056aa42316260206e6643bd33e96bd71cfb8e32b94f76fac4f93",
                ),
                File(
                    TEST_IMAGES,
                    23_056,
                    "ee7550fe34409fc27d844b52fd0408fab403b2cc523bb34baa4ebd95b760d882",
                ),
                File(
                    TEST_LABELS,
                    368,
                    "cf2c8a23974df0c99eb3f36ff34c02acb9be1c84aca7280211ef04bea1135360",
                ),
            ),
        ),
    )
}


def verified(path: Path, file: File) -> bool:
    """Whether `path` holds the bytes of `file`."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


def find(name: str, source: str = "params.yaml: dataset.name") -> Dataset:
    """The dataset called `name`.

    Args:
        name: the key of a row.
        source: where the name comes from, for messages.

    Raises:
        InputError: there is none.
    """
    if name in DATASETS:
        return DATASETS[name]
    near = get_close_matches(name, DATASETS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{source}: found {name!r}, expected one of {', '.join(DATASETS)}{hint}")

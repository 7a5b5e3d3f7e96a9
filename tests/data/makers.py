"""Datasets in the formats that people have: real ones where they are at hand, else made."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.data.support import png, write
from tests.support import REPOSITORY

Array = NDArray[np.uint8]
Arrays = dict[str, tuple[Array, Array]]  # images and labels of train and test

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FASHION = [  # sorted, as folders are
    "Ankle boot",
    "Bag",
    "Coat",
    "Dress",
    "Pullover",
    "Sandal",
    "Shirt",
    "Sneaker",
    "T-shirt-top",
    "Trouser",
]
POSITIONS = np.array([8, 9, 4, 3, 2, 5, 6, 7, 1, 0], np.uint8)  # there of Fashion-MNIST's labels


def random_images(count: int, classes: int, seed: int) -> tuple[Array, Array]:
    """Random images of 6x6 pixels, sorted by their classes."""
    generator = np.random.default_rng(seed)
    labels = np.sort(np.arange(count) % classes).astype(np.uint8)
    return generator.integers(0, 256, (count, 6, 6), np.uint8), labels


def fashion_mnist() -> Arrays:
    """Fashion-MNIST as Debian ships it, sorted by class."""
    if not DEBIAN.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    arrays = {}
    for split, name in (("train", "train"), ("test", "t10k")):
        images, labels = _idx(DEBIAN, name)
        labels = POSITIONS[labels]
        order = np.argsort(labels, kind="stable")
        arrays[split] = images.reshape(-1, 28, 28)[order], labels[order]
    return arrays


def digits() -> Arrays:
    """The digits of this repository, 8x8 pixels."""
    return _committed("digits", 8)


def mnist_sample() -> Arrays:
    """The sample of MNIST in this repository, 28x28 pixels."""
    return _committed("mnist_sample", 28)


def _committed(dataset: str, side: int) -> Arrays:
    arrays = {}
    for split, name in (("train", "train"), ("test", "t10k")):
        images, labels = _idx(REPOSITORY / "data/sources" / dataset, name)
        arrays[split] = images.reshape(-1, side, side), labels
    return arrays


def _idx(folder: Path, name: str) -> tuple[Array, Array]:
    images, labels = (
        gzip.decompress((folder / f"{name}-{kind}-ubyte.gz").read_bytes())
        for kind in ("images-idx3", "labels-idx1")
    )
    return np.frombuffer(images[16:], np.uint8), np.frombuffer(labels[8:], np.uint8)


def pets(folder: Path, counts: dict[str, int], seed: int = 0) -> None:
    """Pictures in colour and of several sizes, noise around red, green or blue."""
    generator = np.random.default_rng(seed)
    for channel, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        mean = np.full(3, 60)
        mean[channel] = 200
        for number in range(count):
            height, width = generator.integers(20, 60, 2)
            pixels = generator.normal(mean, 40, (height, width, 3)).clip(0, 255).astype(np.uint8)
            suffix = "png" if number % 2 else "jpg"
            Image.fromarray(pixels).save(folder / name / f"{number:03}.{suffix}")


def as_folders(arrays: Arrays, names: list[str], folder: Path) -> None:
    """A PNG for each image."""
    for split, (images, labels) in arrays.items():
        for name in names:
            (folder / split / name).mkdir(parents=True)
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / split / names[label] / f"{number:05}.png"
            path.write_bytes(png(Image.fromarray(image)))


def as_npz(arrays: Arrays, names: list[str], folder: Path) -> None:
    """x_train, y_train, x_test and y_test."""
    _describe(names, folder)
    (train, train_labels), (test, test_labels) = arrays["train"], arrays["test"]
    np.savez_compressed(
        folder / "all.npz", x_train=train, y_train=train_labels, x_test=test, y_test=test_labels
    )


def as_csv(arrays: Arrays, names: list[str], folder: Path) -> None:
    """A label and the pixels in each row."""
    _describe(names, folder)
    for split, (images, labels) in arrays.items():
        table(folder / f"{split}.csv", images, labels)


def table(path: Path, images: Array, labels: Array | None = None) -> None:
    """A table of pixels as Kaggle has it, with labels or without."""
    pixels = images.reshape(len(images), -1)
    header = [f"pixel{number}" for number in range(pixels.shape[1])]
    rows = pixels if labels is None else np.column_stack([labels, pixels])
    header = header if labels is None else ["label", *header]
    np.savetxt(path, rows, "%d", ",", header=",".join(header), comments="")


def as_parquet(arrays: Arrays, names: list[str], folder: Path) -> None:
    """The PNGs in a column, with the class names where Hugging Face has them."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is in requirements-parquet.lock only")
    parquet = pytest.importorskip("pyarrow.parquet")
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    folder.mkdir(parents=True)
    for split, (images, labels) in arrays.items():
        pictures = [{"bytes": png(Image.fromarray(image)), "path": None} for image in images]
        rows = arrow.table({"image": pictures, "label": labels.astype(np.int64)})
        path = folder / f"{split}-00000-of-00001.parquet"
        parquet.write_table(rows.replace_schema_metadata(about), path)


def _describe(names: list[str], folder: Path) -> None:
    write(folder, {"dataset.yaml": f"class_names: {json.dumps(names)}\n"})


FORMATS: dict[str, Callable[[Arrays, list[str], Path], None]] = {
    "folders": as_folders,
    "npz": as_npz,
    "csv": as_csv,
    "parquet": as_parquet,
}

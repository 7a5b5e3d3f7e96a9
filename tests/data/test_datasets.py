import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.datasets import DATASETS, find
from pipeline.errors import InputError
from tests.support import REPOSITORY


@pytest.mark.parametrize("name", DATASETS)
def test_a_row_is_complete(name: str) -> None:
    dataset = find(name)
    assert dataset.name == name
    assert len({file.sha256 for file in dataset.files}) == len(dataset.files) == 4
    assert all(len(file.sha256) == 64 for file in dataset.files)
    assert len(set(dataset.class_names)) == len(dataset.class_names) >= 2
    assert dataset.mirrors


def test_an_unknown_dataset() -> None:
    with pytest.raises(InputError, match=r"dataset.name: found 'digit', .*; did you mean 'digits'"):
        find("digit")


@pytest.mark.long("data/mnist_sample", "pipeline/data/datasets.py")
@pytest.mark.parametrize(("kind", "step"), [("train", 6), ("t10k", 5)])
@pytest.mark.parametrize(("name", "header"), [("images-idx3", 16), ("labels-idx1", 8)])
def test_the_sample_is_of_mnist(kind: str, step: int, name: str, header: int) -> None:
    file = f"{kind}-{name}-ubyte.gz"
    original = Path(os.environ.get("DATASET_MIRROR", ""), file)
    if not original.is_file():
        pytest.skip("DATASET_MIRROR names no folder with MNIST's archives")
    whole, sample = (
        gzip.decompress(path.read_bytes())
        for path in (original, REPOSITORY / "data/mnist_sample" / file)
    )
    count = int.from_bytes(whole[4:8])
    rows = np.frombuffer(whole, np.uint8, offset=header).reshape(count, -1)
    assert int.from_bytes(sample[4:8]) * step == count
    assert sample[header:] == rows[::step].tobytes()

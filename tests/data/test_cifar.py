"""The binary files of CIFAR-10."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.cifar import RECORD
from pipeline.errors import IntegrityError
from tests.data.support import read, read_alone, write


def record(label: int, red: int) -> bytes:
    """An image: red, green 7, blue rising from the left to the right."""
    blue = np.tile(np.arange(32, dtype=np.uint8), 32)
    return bytes([label]) + bytes([red]) * 1024 + bytes([7]) * 1024 + blue.tobytes()


def test_by_hand(tmp_path: Path) -> None:
    folder = "own/cifar-10-batches-bin"
    files: dict[str, bytes | str] = {
        f"{folder}/data_batch_1.bin": record(3, 10) + record(5, 20),
        f"{folder}/data_batch_2.bin": record(5, 30),
        f"{folder}/test_batch.bin": record(5, 40) + record(3, 50),
        f"{folder}/readme.html": "hello",
    }
    splits = read(write(tmp_path, files), validation="test")
    train, test = splits["train"], splits["test"]
    assert train.images.shape == (3, 32, 32, 3)
    assert train.images[:, 0, 0].tolist() == [[10, 7, 0], [20, 7, 0], [30, 7, 0]]
    assert test.images[:, 31, 5].tolist() == [[40, 7, 5], [50, 7, 5]]
    assert [train.class_names[label] for label in train.labels] == ["3", "5", "5"]
    assert [test.class_names[label] for label in test.labels] == ["5", "3"]


@pytest.mark.parametrize("length", [0, 1, RECORD - 1, RECORD + 1])
def test_a_file_of_another_length(length: int, tmp_path: Path) -> None:
    write(tmp_path, {"own/data_batch_1.bin": bytes(length)})
    with pytest.raises(IntegrityError, match=f"has {length:,} bytes, expected a multiple of 3,073"):
        read_alone(tmp_path)

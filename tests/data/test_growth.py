"""Memory that does not grow with the number of images."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.support import IDX_NAMES, idx_bytes, write
from tests.support import peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")

PREPROCESS = """
import sys
from pathlib import Path
from tests.data.support import read
read(Path(sys.argv[1]), duplicates="remove")
"""


def noise(folder: Path, count: int) -> Path:
    """IDX files of `count` training images of 28x28 pixels, and a sixth as many for the test."""
    generator = np.random.default_rng(0)
    arrays = [
        array
        for number in (count, count // 6)
        for array in (
            generator.integers(0, 256, (number, 28, 28), np.uint8),
            generator.integers(0, 10, number).astype(np.uint8),
        )
    ]
    files = zip(IDX_NAMES, map(idx_bytes, arrays), strict=True)
    return write(folder, {f"own/{name}": content for name, content in files})


def test_preprocess_holds_neither_images_nor_digests(tmp_path: Path) -> None:
    few, many = (
        peak(PREPROCESS, noise(tmp_path / str(count), count)) for count in (20_000, 200_000)
    )
    assert many < 1.1 * few

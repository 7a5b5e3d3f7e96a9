"""How much memory images take that are on the disk."""

import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.split import Split
from tests.support import peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak")

MIB = 1 << 20

SCORE = """
import sys
from pathlib import Path
from pipeline.data.split import Split
from pipeline.training import backend, inference
backend.start()
import keras
from pipeline.training.models import mlp
images = Split.load(Path(sys.argv[1])).images
network = mlp(images.shape[1:], 2, 1 / 255, hidden_units=[], dropout=0.0)
network.compile(jit_compile=False)
for logits in inference.outputs(network, images, 2, "model"):
    assert logits.shape[1] == 2
"""


def black(folder: Path, mib: int) -> Path:
    """A split of black images of 64x64 pixels that take so much memory, but not on the disk."""
    count = mib * MIB // 64**2
    labels = (np.arange(count) % 2).astype(np.uint8)
    Split(np.zeros((1, 64, 64), np.uint8), labels, ("a", "b"), 255).save(folder)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, 64, 64))
    images.flush()
    return folder


@pytest.mark.long("pipeline/data/split.py", "pipeline/training")
def test_scoring_holds_a_part_of_the_images(tmp_path: Path) -> None:
    few, many = (peak(SCORE, black(tmp_path / str(mib), mib)) for mib in (100, 500))
    assert many - few < 0.2 * 400


TRAIN = """
import sys
from pathlib import Path
from pipeline.data.split import Split
from pipeline.training import backend
backend.start()
import keras
from pipeline.training.augment import Augmentation
from pipeline.training.engine import fit
from pipeline.training.models import mlp
train, few = Split.load(Path(sys.argv[1])), Split.load(Path(sys.argv[2]))
fit(
    mlp(train.images.shape[1:], 2, 1 / 255, hidden_units=[], dropout=0.0),
    train,
    few,
    optimizer=keras.optimizers.SGD(),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    epochs=1,
    batch_size=512,
    seed=0,
    augmentation=Augmentation(shift=1),
    streamed=sys.argv[3] == "streamed",
    callbacks=[],
)
"""


@pytest.mark.long("pipeline/data/split.py", "pipeline/training")
def test_training_holds_the_images_once(tmp_path: Path) -> None:
    validation = black(tmp_path / "validation", 1)
    few, many = (
        peak(TRAIN, black(tmp_path / str(mib), mib), validation, "in memory") for mib in (50, 350)
    )
    assert many - few < 1.2 * 300


@pytest.mark.long("pipeline/data/split.py", "pipeline/training")
def test_streaming_holds_some_blocks(tmp_path: Path) -> None:
    validation = black(tmp_path / "validation", 1)
    few, many = (
        peak(TRAIN, black(tmp_path / str(mib), mib), validation, "streamed") for mib in (50, 350)
    )
    assert many - few < 0.3 * 300

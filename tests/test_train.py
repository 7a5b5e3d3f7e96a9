"""What params.yaml makes of an optimizer and a loss, and what a training says."""

import math
import os
import pty
import re
import subprocess
import termios

import numpy as np
import pytest

from pipeline import backend
from pipeline.errors import TrainingError
from pipeline.params import Train

backend.start()

import keras  # noqa: E402

from pipeline.progress import Progress, StopUnlessFinite  # noqa: E402
from pipeline.train import make_loss, make_optimizer  # noqa: E402
from tests.conftest import Workspace  # noqa: E402

DEFAULTS = {
    "epochs": 10,
    "batch_size": 32,
    "drop_last": False,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "schedule": "constant",
    "warmup_epochs": 0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "seed": 0,
}


def optimizer(**changes: float | str) -> keras.optimizers.Optimizer:
    """For 100 images: 4 steps of up to 32 an epoch, 40 steps in all."""
    return make_optimizer(Train.model_validate(DEFAULTS | changes), 100)


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("sgd", "SGD")])
def test_the_optimizer(name: str, kind: str) -> None:
    assert type(optimizer(optimizer=name)).__name__ == kind
    assert float(optimizer(optimizer=name).learning_rate) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("changes", "step", "rate"),
    [
        ({}, 0, 0.1),
        ({}, 20, 0.05),
        ({}, 40, 0),
        ({"drop_last": True}, 15, 0.05),  # 3 steps an epoch
        ({"warmup_epochs": 2}, 0, 0),
        ({"warmup_epochs": 2}, 4, 0.05),
        ({"warmup_epochs": 2}, 8, 0.1),
        ({"warmup_epochs": 2}, 24, 0.05),
        ({"warmup_epochs": 2}, 40, 0),
    ],
)
def test_a_cosine_schedule(changes: dict[str, int | bool], step: int, rate: float) -> None:
    made = optimizer(schedule="cosine", **changes)
    made.iterations.assign(step)
    assert float(made.learning_rate) == pytest.approx(rate, abs=1e-7)


def test_weights_decay_and_biases_do_not() -> None:
    dense = keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
    dense.build((None, 1))
    made = optimizer(weight_decay=0.5)
    made.build(dense.trainable_variables)
    made.apply([np.zeros((1, 1), np.float32), np.zeros(1, np.float32)], dense.trainable_variables)
    assert dense.kernel.numpy() == pytest.approx(1 - 0.1 * 0.5)
    assert dense.bias.numpy() == 1


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss(smoothing: float) -> None:
    logits = np.log([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]).astype(np.float32)
    labels = np.array([0, 1], np.uint8)
    # Of the certainty, `smoothing` goes to the three classes alike.
    true, other = 1 - smoothing + smoothing / 3, smoothing / 3
    first = -(true * math.log(0.5) + 2 * other * math.log(0.25))
    second = -(true * math.log(0.8) + 2 * other * math.log(0.1))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    model.compile(loss=make_loss(smoothing))
    found = model.evaluate(logits, labels, verbose=0)
    assert found == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_line_for_each_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(10)
    progress.on_epoch_begin(2)
    progress.on_epoch_end(2, {"loss": 0.5, "accuracy": 0.75})
    assert re.fullmatch(
        r"epoch  3/10  loss 0.5000  accuracy 0.7500  0.0 s\n", capsys.readouterr().out
    )


def test_a_bar_on_a_terminal(workspace: Workspace) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 200))
    process = subprocess.Popen(
        ("python", "-m", "pipeline.train"),
        cwd=workspace.root,
        env=workspace.environment(),
        stdout=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 10_000)
        except OSError:  # the other end is closed
            break
    assert process.wait() == 0
    bars = [part for part in re.split(r"[\r\n]+", shown.decode()) if "2/2" in part]
    assert "| 2/2 [" in bars[-1], shown
    assert "val_accuracy=0." in bars[-1]
    assert "epoch 1/2" not in shown.decode()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_training_ends(value: float) -> None:
    with pytest.raises(TrainingError, match=f"val_loss is {value} after epoch 3; lower"):
        StopUnlessFinite().on_epoch_end(2, {"loss": 1.0, "val_loss": value})

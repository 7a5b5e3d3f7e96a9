"""A training that is killed resumes after its last finished epoch, and ends with the same bytes."""

import os
import random
import re
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.training.checkpoint import Checkpoint
from pipeline.training.engine import fit
from tests.support import Workspace
from tests.training.support import LOSS, images, network


class PowerCutError(Exception):
    pass


def test_interrupted_or_not(tmp_path: Path) -> None:
    def run(
        checkpoint: Checkpoint | None, cut: int | None
    ) -> tuple[keras.Model, dict[str, list[float]]]:
        def on_epoch_begin(number: int, _logs: object) -> None:
            if number == cut:
                raise PowerCutError

        model = network(dropout=0.25)
        history = fit(
            model,
            images(50),
            images(20, seed=1),
            optimizer=keras.optimizers.Adam(0.01),
            loss=LOSS,
            epochs=4,
            batch_size=16,
            seed=3,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin)],
            checkpoint=checkpoint,
        )
        return model, history

    checkpoint = Checkpoint(tmp_path, {})
    with pytest.raises(PowerCutError):
        run(checkpoint, 2)
    resumed, resumed_history = run(checkpoint, None)
    again, again_history = run(checkpoint, 0)  # nothing is left to do
    whole, history = run(None, None)

    assert resumed_history == again_history == history
    for model in (resumed, again):
        for found, expected in zip(model.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()


class Killer:
    """Starts `dvc repro` and kills it, or its stage, again and again."""

    def __init__(self, workspace: Workspace, log: Path) -> None:
        seed = random.randrange(2**32)
        print("seed", seed)
        self.generator = random.Random(seed)
        self.workspace = workspace
        self.log = log
        self.last = 0  # epoch that was finished
        self.kills_in_training = 0

    def kill(self, *, in_training: bool, within: float) -> None:
        """Kills at a random moment `within` seconds of the start, or of the first epoch's end."""
        with self.log.open("w") as output:
            dvc = self.workspace.start("dvc", "repro", stdout=output)
        while in_training and dvc.poll() is None and not self.epochs():
            time.sleep(0.05)
        time.sleep(self.generator.uniform(0, within))
        assert dvc.poll() is None, "the training ended before it was killed"
        lock = self.workspace.root / ".pipeline/locks/train"
        stage = int(lock.read_text() or 0) if lock.exists() else 0
        victim = self.generator.choice([dvc.pid, stage]) if stage and alive(stage) else dvc.pid
        os.kill(victim, signal.SIGKILL)
        dvc.wait()
        time.sleep(1)
        assert not (stage and alive(stage)), "the stage outlived its dvc repro by a second"
        if printed := self.epochs():
            assert printed[0] >= self.last, "more than one epoch was done twice"
            self.last = printed[-1]
            self.kills_in_training += 1

    def epochs(self) -> list[int]:
        """Those that the last `dvc repro` finished."""
        found = re.findall(r"^epoch +(\d+)/", self.log.read_text(), re.MULTILINE)
        return [int(number) for number in found]


RESULTS = ("models/model.keras", "metrics/history.csv", "metrics/predictions.csv", "dvc.lock")


@pytest.mark.nightly
@pytest.mark.long("pipeline/training", "pipeline/train.py", "pipeline/program.py")
def test_twenty_kills(workspace: Workspace, tmp_path: Path) -> None:
    workspace.set("train.epochs", 3000)
    never_killed = workspace.copy(tmp_path / "never")
    assert never_killed.repro() == ["train", "evaluate"]
    killer = Killer(workspace, tmp_path / "log")
    for _ in range(10):
        killer.kill(in_training=False, within=9)
        killer.kill(in_training=True, within=1.5)
    assert killer.kills_in_training >= 10
    assert workspace.repro() == ["train", "evaluate"]
    assert workspace.read(*RESULTS) == never_killed.read(*RESULTS)
    assert list((workspace.root / ".pipeline/checkpoints").iterdir()) == []


@pytest.mark.long("pipeline/training", "pipeline/train.py", "pipeline/program.py")
def test_three_kills_on_mnist(mnist: Workspace, tmp_path: Path) -> None:
    mnist.set("train.epochs", 15)
    killed = mnist.copy(tmp_path / "killed")
    mnist.repro()
    killed.run("dvc", "repro", "preprocess")
    killer = Killer(killed, tmp_path / "log")
    for _ in range(3):
        killer.kill(in_training=True, within=1)
    killed.repro()
    assert killed.read(*RESULTS) == mnist.read(*RESULTS)

"""A training that is killed goes on from its last finished epoch, to the same bytes."""

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.checkpoint import Checkpoint, State
from pipeline.fit import fit
from pipeline.noise import Augment
from tests.conftest import Workspace
from tests.test_fit import LOSS, images, network

STATE = State([np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7)], {"loss": [0.1, 1 / 3]})


def test_load_gives_back_what_was_saved(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, {"seed": 0})
    assert checkpoint.load() is None
    checkpoint.save(State([np.zeros(1)], {}))
    checkpoint.save(STATE)
    loaded = Checkpoint(tmp_path, {"seed": 0}).load()
    assert loaded is not None
    assert loaded.history == STATE.history
    for found, saved in zip(loaded.variables, STATE.variables, strict=True):
        assert found.dtype == saved.dtype
        np.testing.assert_array_equal(found, saved)
    checkpoint.remove()
    assert os.listdir(tmp_path) == []


def test_another_training_has_another_file(tmp_path: Path) -> None:
    Checkpoint(tmp_path, {"seed": 0}).save(STATE)
    assert Checkpoint(tmp_path, {"seed": 1}).load() is None


def test_a_foreign_file_is_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = Checkpoint(tmp_path, {"seed": 0}), Checkpoint(tmp_path, {"seed": 1})
    theirs.save(STATE)
    theirs.path.rename(ours.path)
    assert ours.load() is None
    assert capsys.readouterr().out == f"{ours.path}: ignored, it belongs to another training\n"


@pytest.mark.parametrize("position", range(0, 1200, 97))
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_is_ignored(
    position: int, damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint(tmp_path, {"seed": 0})
    checkpoint.save(STATE)
    content = bytearray(checkpoint.path.read_bytes())
    if damage == "cut":
        del content[position:]
    else:
        content[position] ^= 0xFF
    checkpoint.path.write_bytes(content)
    loaded = checkpoint.load()
    if loaded is None:
        assert "ignored" in capsys.readouterr().out
    else:  # the byte was one of a zip header that nothing depends on
        assert loaded.history == STATE.history
        np.testing.assert_array_equal(loaded.variables[0], STATE.variables[0])


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize(("optimizer", "epoch"), [("Adam", 1), ("SGD", 3)])
def test_interrupted_or_not(optimizer: str, epoch: int, tmp_path: Path) -> None:
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
            optimizer=getattr(keras.optimizers, optimizer)(0.01),
            loss=LOSS,
            epochs=4,
            batch_size=16,
            seed=3,
            augment=Augment(shift=1, rotation=10.0),
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin)],
            checkpoint=checkpoint,
        )
        return model, history

    checkpoint = Checkpoint(tmp_path, {})
    with pytest.raises(PowerCutError):
        run(checkpoint, epoch)
    resumed, resumed_history = run(checkpoint, None)
    again, again_history = run(checkpoint, 0)  # nothing is left to do
    whole, history = run(None, None)

    assert resumed_history == again_history == history
    for model in (resumed, again):
        for found, expected in zip(model.get_weights(), whole.get_weights(), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_second_one_is_turned_away(workspace: Workspace) -> None:
    workspace.set("train.epochs", "10000")
    first = subprocess.Popen(
        ("python", "-m", "pipeline.train"),
        cwd=workspace.root,
        env=workspace.environment(),
        stdout=subprocess.DEVNULL,
    )
    lock = workspace.root / ".pipeline/locks/train"
    while not (lock.exists() and lock.read_text() == str(first.pid)):
        time.sleep(0.05)
        assert first.poll() is None
    second = workspace.run("python", "-m", "pipeline.train", check=False)
    first.kill()
    first.wait()
    assert second.returncode == 7
    assert f"process {first.pid} runs this stage in this workspace" in second.stderr


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
            dvc = subprocess.Popen(
                ("dvc", "repro"),
                cwd=self.workspace.root,
                env=self.workspace.environment(),
                stdout=output,
            )
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


@pytest.mark.long
def test_twenty_kills(workspace: Workspace, tmp_path: Path) -> None:
    workspace.set("train.epochs", "1000")
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


@pytest.mark.long
def test_three_kills_on_mnist(mnist: Workspace, tmp_path: Path) -> None:
    killed = mnist.copy(tmp_path / "killed")
    mnist.repro()
    killed.run("dvc", "repro", "preprocess")
    killer = Killer(killed, tmp_path / "log")
    for _ in range(3):
        killer.kill(in_training=True, within=1)
    killed.repro()
    assert killed.read(*RESULTS) == mnist.read(*RESULTS)

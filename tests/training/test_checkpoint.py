"""The file of a checkpoint: what it gives back, and what it refuses."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.training.checkpoint import ABANDONED, Checkpoint, State

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


def test_another_training_s_file_is_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = Checkpoint(tmp_path, {"seed": 0}), Checkpoint(tmp_path, {"seed": 1})
    theirs.save(STATE)
    theirs.path.rename(ours.path)
    assert ours.load() is None
    assert capsys.readouterr().out == f"{ours.path}: ignored, it belongs to another training\n"


def test_any_damage_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = Checkpoint(tmp_path, {"seed": 0})
    checkpoint.save(STATE)
    content = checkpoint.path.read_bytes()
    damaged = [b"", content + b"0", content[32:]]
    for position in range(0, len(content), 7):
        damaged.append(content[:position])
        flipped = bytes([content[position] ^ 0xFF])
        damaged.append(content[:position] + flipped + content[position + 1 :])
    for one in damaged:
        checkpoint.path.write_bytes(one)
        assert checkpoint.load() is None
        assert capsys.readouterr().out == f"{checkpoint.path}: ignored, it is damaged\n"
        assert not checkpoint.path.exists()
    assert len(damaged) > 300
    checkpoint.path.mkdir()
    assert checkpoint.load() is None
    checkpoint.save(STATE)
    assert checkpoint.load() is not None


def test_the_oldest_abandoned_ones_are_removed(tmp_path: Path) -> None:
    others = [Checkpoint(tmp_path, {"seed": seed}) for seed in range(ABANDONED + 2)]
    for number, one in enumerate(others):
        one.save(STATE)
        os.utime(one.path, (number, number))
    ours = Checkpoint(tmp_path, {"seed": "ours"})
    ours.save(STATE)
    os.utime(ours.path, (0, 0))
    ours.remove_abandoned()
    kept = {ours.path, *(one.path for one in others[2:])}
    assert set(tmp_path.iterdir()) == kept

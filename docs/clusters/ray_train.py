"""Runs a command on workers of a Ray cluster that train one model together.

Usage: TRAIN_LAUNCHER='python docs/clusters/ray_train.py 4' dvc repro
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from ray.train import ScalingConfig
from ray.train.tensorflow import TensorflowTrainer


def work(config: dict[str, Any]) -> None:
    """Runs the command on a worker, where Ray Train has set TF_CONFIG."""
    subprocess.run(config["command"], cwd=config["folder"], check=True)


count, *command = sys.argv[1:]
TensorflowTrainer(
    work,
    train_loop_config={"command": command, "folder": str(Path.cwd())},
    scaling_config=ScalingConfig(num_workers=int(count), resources_per_worker={"CPU": 8}),
).fit()

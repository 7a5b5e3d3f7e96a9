"""What docs/clusters.md has for launchers that do not run here."""

import ast
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support import REPOSITORY

FOLDER = REPOSITORY / "docs/clusters"
STAND_INS = {
    "scontrol": "#!/bin/sh\nprintf 'first\\nsecond\\n'\n",
    "srun": '#!/bin/bash\nshift\nfor number in 0 1; do SLURM_PROCID=$number "$@"; done\n',
    # What the stage does: TRAIN_LAUNCHER, then a command whose arguments must arrive as they are.
    "dvc": """#!/usr/bin/env python3
import os, shlex
command = [*shlex.split(os.environ["TRAIN_LAUNCHER"]), "sh", "-c", 'echo "$TF_CONFIG|$0"', "a  b"]
os.execvp(command[0], command)
""",
}


def test_slurm(tmp_path: Path) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    for name, text in STAND_INS.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_ID": "123456", "SLURM_JOB_NODELIST": "node[1-2]"}
    done = subprocess.run(
        ("bash", FOLDER / "slurm.sh"),
        cwd=tmp_path,
        env=os.environ | slurm | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert [argument for _, argument in lines] == ["a  b", "a  b"]
    for rank, (config, _) in enumerate(lines):
        assert json.loads(config) == {
            "cluster": {"worker": ["first:23456", "second:23456"]},
            "task": {"type": "worker", "index": rank},
        }


def test_kubernetes() -> None:
    job: dict[str, Any] = yaml.safe_load((FOLDER / "tfjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    replicas = job["spec"]["tfReplicaSpecs"]
    assert {name: one["replicas"] for name, one in replicas.items()} == {"Chief": 1, "Worker": 3}
    commands = {}
    for name, one in replicas.items():
        (container,) = one["template"]["spec"]["containers"]
        assert container["name"] == "tensorflow"  # the one that the operator gives TF_CONFIG
        (volume,) = one["template"]["spec"]["volumes"]
        assert container["volumeMounts"][0]["name"] == volume["name"]
        commands[name] = container["command"][-1].rpartition("exec ")[2]
    assert commands == {"Chief": "dvc repro", "Worker": "python -E -m pipeline.train"}


def test_ray_train_is_python() -> None:
    ast.parse((FOLDER / "ray_train.py").read_text())

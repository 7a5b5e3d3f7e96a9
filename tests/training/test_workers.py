"""Several workers train one model, as the real program, all on this machine."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.launch import free_addresses
from pipeline.training.models import MODELS
from tests.support import REPOSITORY, Workspace, suite_settings

WORKERS = ("pipeline/training", "pipeline/train.py", "pipeline/launch.py", "pipeline/program.py")
pytestmark = pytest.mark.long(*WORKERS)

RESULTS = ("models/model.keras", "metrics/history.csv", "metrics/train.json")
EVERYTHING = {  # each option of a training that a step depends on
    "train.shards": 8,
    "train.batch_size": 50,  # shards of 7, the last one of 1
    "train.epochs": 3,
    "train.warmup_epochs": 1,
    "train.weight_decay": 0.01,
    "train.label_smoothing": 0.1,
    "train.class_weights": "balanced",
    "augment.shift": 1,
    "augment.rotation": 10.0,
    "augment.zoom": 0.1,
    "augment.flip": True,
}


def training(workers: int) -> tuple[str, ...]:
    alone = ("python", "-m", "pipeline.train")
    return ("python", "-m", "pipeline.launch", "--workers", str(workers), *alone)


def with_everything(workspace: Workspace, architecture: str) -> None:
    settings = EVERYTHING | {"model.name": architecture}
    if "dropout" in suite_settings(architecture):
        settings[f"model.{architecture}.dropout"] = 0.2
    for key, value in settings.items():
        workspace.set(key, value)


def check_that_all_make_the_same_model(
    workspace: Workspace, architecture: str, numbers: tuple[int, ...]
) -> None:
    with_everything(workspace, architecture)
    results = []
    for workers in numbers:
        for path in RESULTS:
            (workspace.root / path).unlink(missing_ok=True)
        said = workspace.run(*training(workers))
        assert f"8 shards, {workers} worker" in said.stdout
        assert said.stderr == ""
        results.append(workspace.read(*RESULTS))
    assert len(results[0]) == len(RESULTS)
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("architecture", MODELS)
def test_four_workers_make_the_model_of_one(architecture: str, workspace: Workspace) -> None:
    check_that_all_make_the_same_model(workspace, architecture, (1, 4))


@pytest.mark.nightly
@pytest.mark.parametrize("architecture", MODELS)
def test_any_number_of_workers_on_mnist(architecture: str, mnist: Workspace) -> None:
    mnist.run("dvc", "repro")
    check_that_all_make_the_same_model(mnist, architecture, (1, 2, 4, 8))


def test_one_is_killed_and_another_number_goes_on(workspace: Workspace) -> None:
    with_everything(workspace, "mlp")
    workspace.set("train.epochs", 40)
    workspace.run(*training(1))
    once = workspace.read(*RESULTS)
    for path in RESULTS:
        (workspace.root / path).unlink()
    with workspace.start(*training(4), stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch  3/40"):
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                os.kill(int(children.split()[2]), signal.SIGKILL)
    assert process.returncode == 5
    assert workspace.read(*RESULTS) == {}
    assert "resuming after epoch " in workspace.run(*training(2)).stdout
    assert workspace.read(*RESULTS) == once


def test_dvc_repro_starts_the_workers(workspace: Workspace) -> None:
    """The launcher is not a parameter: what the workers made is not made again without them."""
    workspace.set("train.shards", 2)
    with_them = Workspace(workspace.root, TRAIN_LAUNCHER="python -m pipeline.launch --workers 2")
    assert "train" in with_them.repro()
    model = workspace.read(*RESULTS)
    assert workspace.repro() == []
    workspace.run("dvc", "repro", "--force", "--single-item", "train")
    assert workspace.read(*RESULTS) == model


def test_what_the_page_says_to_try(workspace: Workspace) -> None:
    page = (REPOSITORY / "docs/clusters.md").read_text()
    (block,) = re.findall(r"^```sh\n(dvc exp run.*?)^```", page, re.DOTALL | re.MULTILINE)
    first, second = block.splitlines()
    assert "Running stage 'train'" in workspace.run(*first.split()).stdout
    target = second.removeprefix("make ").split()
    said = workspace.run("make", "-o", ".venv/.ready", "-o", "params.schema.json", *target).stdout
    assert "Stage 'train' didn't change, skipping" in said


def test_a_worker_that_is_stopped_ends_with_the_launcher(workspace: Workspace) -> None:
    workspace.set("train.shards", 2)
    workspace.set("train.epochs", 10_000)
    with workspace.start(*training(2), stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("epoch     3/10000"):
                process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM


ABSENT = """
import sys
from pipeline.training import backend
backend.start()
from pipeline.errors import InputError
from pipeline.cluster import Cluster
from pipeline.training.workers import Workers
try:
    Workers(Cluster(tuple(sys.argv[1:]), 0), patience=3).meet({})
except InputError as error:
    print(error)
"""


OTHERWISE = """
import os
from pipeline.cluster import cluster_of
cluster = cluster_of(os.environ)
from pipeline.training import backend
backend.start()
import keras
import tensorflow as tf
from pipeline.errors import TrainingError
from pipeline.training.workers import Workers
workers = Workers(cluster)
workers.meet({"data": 1})
rank = float(workers.rank)
parts = [tf.constant([[1.0, 2.0], [3.0, 4.0]]) * (1 + rank), tf.constant(rank)]
print(*[part.numpy().tolist() for part in workers.add_up(parts)])
try:
    workers.compare_state([keras.Variable(float(workers.rank == 2))], 0)
except TrainingError as error:
    print(error)
"""


def test_one_that_computes_differently_is_named(workspace: Workspace) -> None:
    launch = ("python", "-m", "pipeline.launch", "--workers", "4")
    sums, said = workspace.run(*launch, "python", "-c", OTHERWISE).stdout.splitlines()
    assert sums == "[[10.0, 20.0], [30.0, 40.0]] 6.0"  # 1 + 2 + 3 + 4 times; 0 + 1 + 2 + 3
    assert re.match(r"worker 2 \(.*\) has other weights than worker 0 .* after epoch 1", said)


def alone(*addresses: str) -> str:
    """What the first worker at `addresses` says while there are no others."""
    result = subprocess.run(
        (sys.executable, "-c", ABSENT, *addresses),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    return result.stdout


def test_one_that_does_not_start_is_named() -> None:
    addresses = free_addresses(3)
    said = alone(*addresses)
    assert said.startswith("not all of the 3 workers started within 3 s; ")
    assert re.findall(r"worker \d", said) == ["worker 1", "worker 2"]


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = alone(address, *free_addresses(1))
    assert said.startswith(f"worker 0 ({address}): cannot listen there ")


def test_the_launcher_reports_the_cause_alone(workspace: Workspace) -> None:
    said = workspace.run(*training(2), check=False)  # train.shards is 1
    assert said.returncode == 2
    (line,) = said.stderr.splitlines()
    assert line.startswith(
        "train: found 2 workers, expected 1, as train.shards is 1 in params.yaml"
    )
    config = json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 2}})
    said = Workspace(workspace.root, TF_CONFIG=config).module("pipeline.train")
    assert said.returncode == 2
    assert said.stderr.startswith("train: TF_CONFIG: found the task worker 2, expected ")

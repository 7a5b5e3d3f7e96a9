"""One training on machines whose network is bad: it takes longer, and nothing else changes."""

import json
import subprocess

import pytest

from tests.cluster.network import lose_packets, machines
from tests.support import Workspace

pytestmark = pytest.mark.cluster

RESULTS = ("models/model.keras", "metrics/history.csv", "metrics/train.json")
TRAIN = ("python", "-E", "-m", "pipeline.train")


@pytest.mark.nightly
def test_a_network_that_loses_packets_changes_nothing(workspace: Workspace) -> None:
    workspace.set("train.shards", 4)
    workspace.run(*TRAIN)
    alone = workspace.read(*RESULTS)
    for path in RESULTS:
        (workspace.root / path).unlink()
    with machines(4, rate="100mbit") as place:
        for machine in place:
            lose_packets(machine, 2)
        cluster = {"worker": [f"{machine.address}:2222" for machine in place]}
        workers = []
        for rank, machine in enumerate(place):
            config = {"cluster": cluster, "task": {"type": "worker", "index": rank}}
            workers.append(
                subprocess.Popen(
                    machine.command(*TRAIN),
                    cwd=workspace.root,
                    env=workspace.environment() | {"TF_CONFIG": json.dumps(config)},
                    stdout=subprocess.DEVNULL,
                )
            )
        assert [worker.wait() for worker in workers] == [0, 0, 0, 0]
    assert workspace.read(*RESULTS) == alone

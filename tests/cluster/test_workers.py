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
@pytest.mark.parametrize(
    ("delay", "lost"), [(None, 2), (5.0, 0), (1.0, 2)], ids=["loses", "delays", "loses and delays"]
)
def test_a_bad_network_changes_nothing(
    workspace: Workspace, delay: float | None, lost: int
) -> None:
    workspace.set("train.shards", 4)
    workspace.run(*TRAIN)
    alone = workspace.read(*RESULTS)
    for path in RESULTS:
        (workspace.root / path).unlink()
    with machines(4, "100mbit", delay) as place:
        for machine in place:
            lose_packets(machine, lost)
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

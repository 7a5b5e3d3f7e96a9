"""Which processes share a training, as TF_CONFIG describes them.

Launchers set it: Kubernetes' training operator, Vertex AI, SageMaker, Ray Train, and
`pipeline.launch` for the processes of one machine. It is JSON such as

    {"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]},
     "task": {"type": "worker", "index": 0}}

(https://www.tensorflow.org/guide/distributed_training#TF_CONFIG)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, Field, ValidationError

from pipeline.errors import InputError

VARIABLE = "TF_CONFIG"
JOBS = ("chief", "master", "worker")  # of processes that train, in the order of their ranks


@dataclass(frozen=True)
class Cluster:
    """The workers of a training, and which of them this process is."""

    addresses: tuple[str, ...] = ("localhost:0",)  # host:port of each
    rank: int = 0  # from 0 up; the first one writes the results

    @property
    def count(self) -> int:
        """How many workers there are."""
        return len(self.addresses)

    def address(self, rank: int) -> tuple[str, int]:
        """The host and the port of the worker of that rank."""
        host, _, port = self.addresses[rank].rpartition(":")
        return host.strip("[]"), int(port)

    def name(self, rank: int) -> str:
        """What messages call it."""
        return f"worker {rank} ({self.addresses[rank]})"


class _Task(BaseModel):
    type: str
    index: int = Field(ge=0)


class _Config(BaseModel):
    cluster: dict[str, list[str]] = {}
    task: _Task = _Task(type="worker", index=0)


def cluster_of(environment: Mapping[str, str]) -> Cluster:
    """The cluster that TF_CONFIG in `environment` describes; this process alone if it is not set.

    Raises:
        InputError: it describes none that could train.
    """
    text = environment.get(VARIABLE, "")
    if not text:
        return Cluster()
    try:
        config = _Config.model_validate(json.loads(text))
    except (ValueError, ValidationError) as error:
        raise InputError(
            f"{VARIABLE}: found {_shortened(text)}, expected JSON such as "
            '{"cluster": {"worker": ["host:port"]}, "task": {"type": "worker", "index": 0}}'
        ) from error
    members = [
        (job, index, address)
        for job in JOBS
        for index, address in enumerate(config.cluster.get(job, []))
    ]
    if not members:
        return Cluster()
    ranks = {(job, index): rank for rank, (job, index, _) in enumerate(members)}
    addresses = tuple(address for _, _, address in members)
    rank = ranks.get((config.task.type, config.task.index))
    if rank is None:
        raise InputError(
            f"{VARIABLE}: found the task {config.task.type} {config.task.index}, expected one of "
            f"{', '.join(f'{job} {index}' for job, index, _ in members)}"
        )
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise InputError(f"{VARIABLE}: found the address {address!r}, expected host:port")
    if len(set(addresses)) != len(addresses):
        raise InputError(f"{VARIABLE}: two workers have the same address")
    return Cluster(addresses, rank)


def _shortened(text: str) -> str:
    limit = 60
    return repr(text if len(text) <= limit else f"{text[:limit]}...")

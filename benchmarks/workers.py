"""Measures one training on several workers, and writes benchmarks/WORKERS.md.

Each worker runs in a network namespace of its own, so that what it sends can be limited and
counted; that needs root and iproute2 on Linux. All of them share the cores of this machine, so
their seconds say what the exchange costs, not what more machines gain: that is computed, from what
a step takes on one process and from the bytes that are sent.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from math import log2
from pathlib import Path
from statistics import median
from typing import NamedTuple

from pipeline.artifacts import write_files
from pipeline.cluster import VARIABLE
from pipeline.program import Parser, run
from pipeline.training import backend
from tests.cluster.network import Machine, machines

RESULTS = Path("benchmarks/WORKERS.md")
PORT = 23456
RATES = {"10 Gbit/s": "10gbit", "1 Gbit/s": "1gbit"}
WORKERS = (2, 4)
SHARDS = 4
COMPUTED = (1, 8, 64, 512)  # workers
LATENCY = 0.0001  # seconds from one machine to another, in the same room
STEPS = {"mlp": 50, "cnn": 16}  # of 128 images, in an epoch; of larger batches fewer
GRADIENT_BYTES = 4  # of a weight


class Step(NamedTuple):
    """What a step took."""

    seconds: float
    sent: float  # bytes, by the first worker
    weights: int


def train(
    mnist: Path, place: Sequence[Machine], way: str, network: str = "mlp", batch: int = 128
) -> Step:
    """The median step of a training on the machines, or here if there are none."""
    command = [sys.executable, "-m", "benchmarks.worker", str(mnist), "--way", way]
    command += ["--network", network, "--batch", str(batch), "--shards", str(SHARDS)]
    command += ["--steps", str(max(1, STEPS[network] * 128 // batch))]
    cluster = {"worker": [f"{machine.address}:{PORT}" for machine in place]}
    commands = [machine.command(*command) for machine in place] or [tuple(command)]
    processes = []
    for rank, one in enumerate(commands):
        config = {"cluster": cluster, "task": {"type": "worker", "index": rank}} if place else {}
        environment = os.environ | {VARIABLE: json.dumps(config)}
        processes.append(subprocess.Popen(one, env=environment, stdout=subprocess.PIPE, text=True))
    said = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError(f"{command}: a worker failed")
    seen = json.loads(said[0].splitlines()[-1])
    return Step(median(seen["seconds"]), median(seen["bytes"]), seen["weights"])


def over(mnist: Path, workers: int, rate: str, way: str) -> Step:
    """The step of a training on `workers` machines, each of which sends at most `rate`."""
    with machines(workers, rate) as place:
        return train(mnist, place, way)


def least(weights: int, workers: int) -> float:
    """Bytes that each worker must send so that all know the sum of their gradients.

    (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69, 2009.)
    """
    return 2 * (workers - 1) / workers * weights * GRADIENT_BYTES


def computed(alone: Step, workers: int, rate: float) -> float:
    """Seconds of a step on so many workers, each as fast as this machine.

    The work on the images is divided, the exchange is added: log2(N) messages for the pairs and
    N - 1 for the ring, and all bytes at the rate of the network.

    Args:
        alone: a step of all shards on one worker.
        workers: N, at most the number of shards.
        rate: of the network, bytes a second.
    """
    if workers == 1:
        return alone.seconds
    messages = log2(workers) + workers - 1
    return alone.seconds / workers + messages * LATENCY + least(alone.weights, workers) / rate


def measured_rows(mnist: Path, rounds: int) -> list[str]:
    """The table of what was measured."""
    rows = [
        "| workers | network | sharded, ms | all-reduce, ms | sent, kB | least possible, kB |",
        "|---|---|---|---|---|---|",
    ]
    for workers in WORKERS:
        for name, rate in RATES.items():
            pairs = [
                (over(mnist, workers, rate, "sharded"), over(mnist, workers, rate, "all-reduce"))
                for _ in range(rounds)
            ]
            ours, theirs = (
                median(step.seconds for step in steps) for steps in zip(*pairs, strict=True)
            )
            one = pairs[0][0]
            cells = (
                str(workers),
                name,
                f"{1000 * ours:.1f}",
                f"{1000 * theirs:.1f}",
                f"{one.sent / 1000:,.0f}",
                f"{least(one.weights, workers) / 1000:,.0f}",
            )
            rows.append(f"| {' | '.join(cells)} |")
            print(rows[-1], flush=True)
    return rows


def computed_rows(mnist: Path) -> list[str]:
    """The table of what follows for more machines than there are here."""
    rows = [
        "| network | batch | weights | rate | " + " | ".join(f"{n}" for n in COMPUTED) + " |",
        "|" + "---|" * (4 + len(COMPUTED)),
    ]
    for network, name in (("mlp", "784-512-10"), ("cnn", "cnn-best")):
        for batch in (128, 1024, 8192):
            alone = train(mnist, [], "sharded", network, batch)
            for rate, text in ((1.25e9, "10 Gbit/s"), (1.25e8, "1 Gbit/s")):
                gains = [alone.seconds / computed(alone, n, rate) for n in COMPUTED]
                cells = [name, f"{batch:,}", f"{alone.weights:,}", text]
                rows.append(f"| {' | '.join([*cells, *(f'{gain:.1f}' for gain in gains)])} |")
                print(rows[-1], flush=True)
    return rows


def shards_cost(mnist: Path, rounds: int) -> str:
    """What it costs one process to divide batches, measured alternately."""
    pairs = [(train(mnist, [], "sharded"), train(mnist, [], "whole")) for _ in range(rounds)]
    ours, whole = (median(step.seconds for step in steps) for steps in zip(*pairs, strict=True))
    return (
        f"On one process a step of {SHARDS} shards takes {1000 * ours:.2f} ms, one of the whole "
        f"batch {1000 * whole:.2f} ms: {ours / whole:.2f} times as long (to reach: 1.5)."
    )


def page(cost: str, measured: Sequence[str], computed: Sequence[str]) -> str:
    """The text of benchmarks/WORKERS.md."""
    rows = "\n".join
    return f"""# One training on many workers
By `python -m benchmarks.workers MNIST`, on {os.cpu_count()} cores of {backend.processor()}.
784-512-10, batch 128, {SHARDS} shards, Adam; medians of steps.

{cost}

## Measured, all workers on this machine
They share its cores, so that more of them are slower here. `all-reduce` is TensorFlow's, whose
weights depend on the number of workers. What is sent includes the headers of the network.

{rows(measured)}

## Computed, for workers that are each such a machine
How many times as fast as one worker, with as many shards as workers:
t(N) = t(1)/N + (log2 N + N - 1) * {1000 * LATENCY:g} ms + 2 (N-1)/N * 4 bytes * weights / rate.
t(1) is measured, with {SHARDS} shards.

{rows(computed)}
"""


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.workers", __doc__)
    arguments.add_argument("mnist", type=Path, help="the folder with MNIST's archives")
    arguments.add_argument("--rounds", type=int, default=3, help="of each measurement")
    return arguments


def main(options: argparse.Namespace) -> None:
    """Measures, prints the rows as they come, and writes the page."""
    mnist = options.mnist.resolve()
    cost = shards_cost(mnist, options.rounds)
    print(cost, flush=True)
    measured = measured_rows(mnist, options.rounds)
    write_files({RESULTS: page(cost, measured, computed_rows(mnist)).encode()})


if __name__ == "__main__":
    run(parser(), main)

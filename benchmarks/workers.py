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
from itertools import product
from math import log2
from pathlib import Path
from statistics import median
from typing import NamedTuple

from pipeline.artifacts import write_files
from pipeline.cluster import VARIABLE
from pipeline.program import Parser, run
from pipeline.training import backend
from tests.cluster.network import Machine, machines
from tests.cluster.probes import round_trip, throughput

RESULTS = Path("benchmarks/WORKERS.md")
PORT = 23456
RATES = {"10 Gbit/s": "10gbit", "1 Gbit/s": "1gbit"}
NETWORKS = tuple(product(RATES, (None, 0, 0.1, 1, 5)))  # rate and milliseconds; None is no relay
PROBE = 200_000_000  # bytes, to find the rate that a network really has
WORKERS = (2, 4)
SHARDS = 4
COMPUTED = (1, 8, 64, 512)  # workers
DELAY = 0.0001  # seconds from one machine to another, in the same room
STEPS = {"mlp": 50, "cnn": 16}  # of 128 images, in an epoch; of larger batches fewer
GRADIENT_BYTES = 4  # of a weight


class Step(NamedTuple):
    """What a step took."""

    seconds: float
    sent: float  # bytes, by the first worker
    weights: int


def train(
    mnist: Path,
    place: Sequence[Machine],
    *ways: str,
    rounds: int = 1,
    network: str = "mlp",
    batch: int = 128,
) -> list[Step]:
    """The median step of trainings in `ways`, on the machines, or here if there are none."""
    command = [sys.executable, "-m", "benchmarks.worker", str(mnist), "--ways", *ways]
    command += ["--rounds", str(rounds), "--network", network]
    command += ["--batch", str(batch), "--shards", str(SHARDS)]
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
    steps = [seen["steps"][way] for way in ways]
    return [Step(median(seconds), median(sent), seen["weights"]) for seconds, sent in steps]


def least(weights: int, workers: int) -> float:
    """Bytes that each worker must send so that all know the sum of their gradients.

    (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69, 2009.)
    """
    return 2 * (workers - 1) / workers * weights * GRADIENT_BYTES


def computed(alone: Step, workers: int, rate: float) -> float:
    """Seconds of a step on so many workers, each as fast as this machine.

    The work on the images is divided, the exchange is added: all bytes at the rate of the network,
    and its delay 2 log2(N) + N times. TensorFlow's workers ask each other for what they need, so
    each of log2(N) exchanges in pairs goes there and back. So does the first of the N - 1 messages
    around the ring; the others have been asked for by then.

    Args:
        alone: a step of all shards on one worker.
        workers: N, at most the number of shards.
        rate: of the network, bytes a second.
    """
    if workers == 1:
        return alone.seconds
    waits = (2 * log2(workers) + workers) * DELAY
    return alone.seconds / workers + waits + least(alone.weights, workers) / rate


def network_rows() -> list[str]:
    """The table of what the networks really do."""
    rows = ["| rate | delay, ms | round trip, ms | Gbit/s |", "|---|---|---|---|"]
    for rate, delay in NETWORKS:
        with machines(2, RATES[rate], delay) as (one, other):
            trip, bytes_a_second = round_trip(one, other), throughput(one, other, PROBE)
        cells = (rate, words(delay), f"{1000 * trip:.2f}", f"{8 * bytes_a_second / 1e9:.1f}")
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


def measured_rows(mnist: Path, alone: Step, rounds: int) -> list[str]:
    """The table of what was measured.

    Args:
        mnist: the folder with MNIST's archives.
        alone: a step on one worker.
        rounds: of each measurement.
    """
    rows = [
        "| workers | rate | delay, ms | sharded, ms | all-reduce, ms | sent, kB | least, kB |",
        "|---|---|---|---|---|---|---|",
        f"| 1 | | | {1000 * alone.seconds:.1f} | | 0 | 0 |",
    ]
    for workers, (rate, delay) in product(WORKERS, NETWORKS):
        with machines(workers, RATES[rate], delay) as place:
            ours, theirs = train(mnist, place, "sharded", "all-reduce", rounds=rounds)
        cells = (
            str(workers),
            rate,
            words(delay),
            f"{1000 * ours.seconds:.1f}",
            f"{1000 * theirs.seconds:.1f}",
            f"{ours.sent / 1000:,.0f}",
            f"{least(ours.weights, workers) / 1000:,.0f}",
        )
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


def words(delay: float | None) -> str:
    """A delay in the cell of a table."""
    return "none" if delay is None else f"{delay:g}"


def computed_rows(mnist: Path) -> list[str]:
    """The table of what follows for more machines than there are here."""
    rows = [
        "| network | batch | weights | rate | " + " | ".join(f"{n}" for n in COMPUTED) + " |",
        "|" + "---|" * (4 + len(COMPUTED)),
    ]
    for network, name in (("mlp", "784-512-10"), ("cnn", "cnn-best")):
        for batch in (128, 1024, 8192):
            (alone,) = train(mnist, [], "sharded", network=network, batch=batch)
            for rate, text in ((1.25e9, "10 Gbit/s"), (1.25e8, "1 Gbit/s")):
                gains = [alone.seconds / computed(alone, n, rate) for n in COMPUTED]
                cells = [name, f"{batch:,}", f"{alone.weights:,}", text]
                rows.append(f"| {' | '.join([*cells, *(f'{gain:.1f}' for gain in gains)])} |")
                print(rows[-1], flush=True)
    return rows


def page(
    alone: Step, whole: Step, networks: Sequence[str], measured: Sequence[str], more: Sequence[str]
) -> str:
    """The text of benchmarks/WORKERS.md.

    Args:
        alone: a step in shards on one worker.
        whole: a step without shards.
        networks: the table of what the networks do.
        measured: the table of steps.
        more: the table of what follows for more machines.
    """
    rows = "\n".join
    cost = (
        f"On one process a step of {SHARDS} shards takes {1000 * alone.seconds:.2f} ms, one of the "
        f"whole batch {1000 * whole.seconds:.2f} ms: {alone.seconds / whole.seconds:.2f} times as "
        f"long (to reach: 1.5)."
    )
    return f"""# One training on many workers
By `python -m benchmarks.workers MNIST`, on {os.cpu_count()} cores of {backend.processor()}.
784-512-10, batch 128, {SHARDS} shards, Adam; medians of steps.

{cost}

## Measured, all workers on this machine
They share its cores, so that more of them are slower here. `all-reduce` is TensorFlow's, whose
weights depend on the number of workers. The rate limits what each worker sends. What is sent
includes the headers of the network, and `least` is what any way must send.

{rows(measured)}

Without a delay the workers are connected by the kernel's bridge. Delays are made by a program,
tests/cluster/relay.c, which passes each packet on after that time: once on its way, so twice in a
round trip. What the program costs by itself is the difference between a delay of 0 and none.

## The networks, between two machines with nothing else to do
The round trip is that of one byte over TCP, the median of 200. Gbit/s are those of one connection
that sends {PROBE / 1e6:.0f} MB; with 5 ms they are limited by TCP's own window (net.ipv4.tcp_wmem).

{rows(networks)}

## Computed, for workers that are each such a machine
How many times as fast as one worker, with as many shards as workers:
t(N) = t(1)/N + (2 log2 N + N) * {1000 * DELAY:g} ms + 2 (N-1)/N * 4 bytes * weights / rate.
t(1) is measured, with {SHARDS} shards, and {1000 * DELAY:g} ms is a delay within a room. With 5 ms,
2 workers wait for 4 delays, 20 ms, and 4 workers for 8, 40 ms: compare the rows above.

{rows(more)}
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
    networks = network_rows()
    alone, whole = train(mnist, [], "sharded", "whole", rounds=options.rounds)
    measured = measured_rows(mnist, alone, options.rounds)
    text = page(alone, whole, networks, measured, computed_rows(mnist))
    write_files({RESULTS: text.encode()})


if __name__ == "__main__":
    run(parser(), main)

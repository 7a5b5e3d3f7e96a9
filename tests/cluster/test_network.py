"""The network of the other tests here."""

import subprocess
import sys
import time
from contextlib import suppress
from itertools import permutations
from pathlib import Path

import pytest

from tests.cluster.network import machines
from tests.cluster.probes import round_trip, throughput
from tests.support import REPOSITORY

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("delay", [None, 1.0])
def test_a_machine_sends_at_a_rate(delay: float | None) -> None:
    with machines(2, "8mbit", delay) as (one, other):  # 1 MB/s, but for the first that go at once
        assert 0.8e6 < throughput(one, other, 3_000_000) < 2e6
    with machines(2, delay=delay) as (one, other):
        assert throughput(one, other, 3_000_000) > 3e6


@pytest.mark.parametrize(
    ("delay", "least", "most"),
    [(None, 0, 0.002), (0, 0, 0.002), (1, 0.002, 0.004), (20, 0.04, 0.05)],
)
def test_packets_are_delayed_both_ways(delay: float | None, least: float, most: float) -> None:
    with machines(2, delay=delay) as (one, other):
        assert least <= round_trip(one, other) < most


def test_each_machine_reaches_each_other() -> None:
    with machines(3, delay=0) as place:
        for one, other in permutations(place, 2):
            assert round_trip(one, other) < 1


def test_the_relay_ends_with_the_test() -> None:
    code = """if True:
        from tests.cluster.network import machines
        with machines(1, delay=0) as place:
            print(place[0].namespace, flush=True)
            input()
    """
    command = (sys.executable, "-c", code)
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as test:
        assert test.stdout
        namespace = test.stdout.readline().strip()
        try:
            assert relays(namespace)
            test.kill()
            deadline = time.monotonic() + 5
            while relays(namespace):
                assert time.monotonic() < deadline
        finally:
            test.kill()
            subprocess.run(("ip", "netns", "delete", namespace), check=True)


def relays(namespace: str) -> list[Path]:
    """The relays that connect a machine."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if namespace in (process / "cmdline").read_text().split("\0")[1:]:
                found.append(process)
    return found


def test_nothing_gets_out() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    with machines(1) as (one,):
        done = subprocess.run(
            one.command(sys.executable, "-c", code), capture_output=True, text=True, check=False
        )
        assert "Network is unreachable" in done.stderr

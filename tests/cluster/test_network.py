"""The network of the other tests here."""

import subprocess
import sys
import time

import pytest

from tests.cluster.network import machines

pytestmark = pytest.mark.cluster

SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 5000), timeout=10) as connection:
    connection.sendall(bytes(3_000_000))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
"""
RECEIVE = """
import socket
with socket.create_server(("", 5000)) as server:
    print(flush=True)
    connection, _ = server.accept()
    while connection.recv(1 << 16):
        pass
"""


def seconds(rate: str) -> float:
    """What 3 MB take from one machine to another."""
    with machines(2, rate=rate) as (one, other):
        receiver = subprocess.Popen(
            other.command(sys.executable, "-c", RECEIVE), stdout=subprocess.PIPE
        )
        assert receiver.stdout
        receiver.stdout.readline()
        began = time.monotonic()
        subprocess.run(one.command(sys.executable, "-c", SEND, other.address), check=True)
        taken = time.monotonic() - began
        receiver.stdout.close()
        receiver.wait()
        return taken


def test_machines_reach_each_other_at_a_rate() -> None:
    assert seconds("8mbit") > 1.5  # 3 MB at 1 MB/s, but for the first that go at once
    assert seconds("") < 1


def test_delays_are_netems() -> None:
    with machines(2, delay="20ms") as (one, other):
        began = time.monotonic()
        subprocess.run(one.command(sys.executable, "-c", SEND, other.address), check=False)
        assert time.monotonic() - began > 0.02


def test_nothing_gets_out() -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    with machines(1) as (one,):
        done = subprocess.run(
            one.command(sys.executable, "-c", code), capture_output=True, text=True, check=False
        )
        assert "Network is unreachable" in done.stderr

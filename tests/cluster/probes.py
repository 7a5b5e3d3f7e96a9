"""What a network between two machines really does, over TCP."""

import subprocess
import sys
from statistics import median

from tests.cluster.network import Machine

ASK = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 5000), timeout=60) as connection:
    for _ in range(200):
        began = time.perf_counter()
        connection.sendall(b"?")
        connection.recv(1)
        print(time.perf_counter() - began)
"""
ANSWER = """
import socket
with socket.create_server(("", 5000)) as server:
    print(flush=True)
    connection, _ = server.accept()
    while question := connection.recv(1):
        connection.sendall(question)
"""
SEND = """
import socket, sys, time
content = bytes(int(sys.argv[2]))
with socket.create_connection((sys.argv[1], 5000), timeout=60) as connection:
    began = time.perf_counter()
    connection.sendall(content)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    print(time.perf_counter() - began)
"""
RECEIVE = """
import socket
room = bytearray(1 << 20)
with socket.create_server(("", 5000)) as server:
    print(flush=True)
    connection, _ = server.accept()
    while connection.recv_into(room):
        pass
"""


def round_trip(one: Machine, other: Machine) -> float:
    """The median seconds until `one` has the answer of `other`, each of one byte."""
    return median(_seconds(one, other, ASK, ANSWER))


def throughput(one: Machine, other: Machine, size: int) -> float:
    """The bytes a second at which `one` sends `size` bytes, until `other` has them."""
    (seconds,) = _seconds(one, other, SEND, RECEIVE, str(size))
    return size / seconds


def _seconds(
    one: Machine, other: Machine, client: str, server: str, *arguments: str
) -> list[float]:
    """What a program prints that connects to one on the other machine."""
    command = other.command(sys.executable, "-Sc", server)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as listening:
        assert listening.stdout
        listening.stdout.readline()
        command = one.command(sys.executable, "-Sc", client, other.address, *arguments)
        try:
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        finally:
            listening.kill()
    return [float(line) for line in done.stdout.split()]

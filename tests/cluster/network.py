"""Machines of a network that is not there: network namespaces on one bridge, with no way out."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

ADDRESS = "10.77.0.{}"


@dataclass(frozen=True)
class Machine:
    """A network namespace with an address."""

    namespace: str
    address: str

    def command(self, *command: str) -> tuple[str, ...]:
        """`command` as it runs there."""
        return ("ip", "netns", "exec", self.namespace, *command)

    def processes(self) -> list[int]:
        """Those that run there."""
        return [*map(int, _ip("netns", "pids", self.namespace).split())]


@contextmanager
def machines(count: int, rate: str = "", delay: str = "") -> Iterator[list[Machine]]:
    """Machines that reach each other and nothing else; what runs there at the end is killed.

    The test is skipped where there is no root or no iproute2, or the kernel cannot do it.

    Args:
        count: how many.
        rate: what each sends at most, in words of tc, such as 1gbit; no limit if empty.
        delay: of each packet, likewise, such as 1ms; needs the kernel's netem.
    """
    if os.geteuid() or not shutil.which("ip") or not shutil.which("tc"):
        pytest.skip("network namespaces need root and iproute2")
    prefix = f"t{os.getpid()}"
    bridge = f"{prefix}-0"
    made = [Machine(f"{prefix}-{number}", ADDRESS.format(number)) for number in range(1, count + 1)]
    try:
        try:
            _ip("netns", "add", bridge)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces: {error.stderr.strip()}")
        _ip("-n", bridge, "link", "add", "br0", "type", "bridge")
        _ip("-n", bridge, "link", "set", "br0", "up")
        for number, machine in enumerate(made, start=1):
            _join(machine, bridge, f"p{number}")
            _shape(machine, rate, delay)
        yield made
    finally:
        for name in [machine.namespace for machine in made] + [bridge]:
            with suppress(subprocess.CalledProcessError):
                kill([*map(int, _ip("netns", "pids", name).split())])
                _ip("netns", "delete", name)


def lose_packets(machine: Machine, percent: int) -> None:
    """Drops a share of what arrives at a machine, at random.

    The test is skipped where there is no nftables.
    """
    rule = f"numgen random mod 100 < {percent} drop;"
    table = (
        f"table inet lossy {{\nchain input {{\ntype filter hook input priority 0;\n{rule}\n}}\n}}\n"
    )
    if not shutil.which("nft"):
        pytest.skip("nothing drops packets (nftables)")
    done = subprocess.run(
        machine.command("nft", "-f", "-"), input=table, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this kernel drops no packets (nftables): {done.stderr.strip()}")


def kill(processes: Sequence[int]) -> None:
    """Kills `processes` on the spot."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, 9)


def _join(machine: Machine, bridge: str, port: str) -> None:
    """Makes a namespace, with a cable to the bridge."""
    here = ("-n", machine.namespace)
    _ip("netns", "add", machine.namespace)
    _ip(*here, "link", "set", "lo", "up")
    _ip(*here, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", bridge)
    _ip(*here, "address", "add", f"{machine.address}/24", "dev", "eth0")
    _ip(*here, "link", "set", "eth0", "up")
    _ip("-n", bridge, "link", "set", port, "master", "br0", "up")


def _shape(machine: Machine, rate: str, delay: str) -> None:
    """Limits what a machine sends."""
    parent = ["root"]
    if delay:
        done = _tc(machine, *parent, "handle", "1:", "netem", "delay", delay)
        if done.returncode:
            pytest.skip(f"this kernel delays no packets (netem): {done.stderr.strip()}")
        parent = ["parent", "1:"]
    if rate:
        done = _tc(machine, *parent, "tbf", "rate", rate, "burst", "1mb", "latency", "50ms")
        if done.returncode:
            pytest.skip(f"this kernel limits no rate (tbf): {done.stderr.strip()}")


def _tc(machine: Machine, *words: str) -> subprocess.CompletedProcess[str]:
    command = machine.command("tc", "qdisc", "add", "dev", "eth0", *words)
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _ip(*words: str) -> str:
    return subprocess.run(("ip", *words), capture_output=True, text=True, check=True).stdout

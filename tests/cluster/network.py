"""Machines of a network that is not there: network namespaces, with no way out."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

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
def machines(count: int, rate: str = "", delay: float | None = None) -> Iterator[list[Machine]]:
    """Machines that reach each other and nothing else; what runs there at the end is killed.

    The test is skipped where there is no root or no iproute2, or the kernel cannot do it.

    Args:
        count: how many.
        rate: what each sends at most, in words of tc, such as 1gbit; no limit if empty.
        delay: of each packet, in milliseconds. A relay outside the kernel does it, even if it is 0,
            for which this needs /dev/net/tun and a C compiler; without, there is a bridge.
    """
    if os.geteuid() or not shutil.which("ip") or not shutil.which("tc"):
        pytest.skip("network namespaces need root and iproute2")
    prefix = f"t{os.getpid()}"
    made = [Machine(f"{prefix}-{number}", ADDRESS.format(number)) for number in range(1, count + 1)]
    with ExitStack() as stack:
        for machine in made:
            stack.enter_context(_namespace(machine.namespace))
        stack.enter_context(_bridge(f"{prefix}-0", made) if delay is None else _relay(made, delay))
        for machine in made:
            here = ("-n", machine.namespace)
            _ip(*here, "link", "set", "lo", "up")
            _ip(*here, "address", "add", f"{machine.address}/24", "dev", "eth0")
            _ip(*here, "link", "set", "eth0", "up")
            if rate:
                _limit(machine, rate)
        yield made


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


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    """A network namespace; what runs there at the end is killed."""
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces: {error.stderr.strip()}")
    try:
        yield
    finally:
        kill([*map(int, _ip("netns", "pids", name).split())])
        _ip("netns", "delete", name)


@contextmanager
def _bridge(name: str, connected: Sequence[Machine]) -> Iterator[None]:
    """Connects eth0 of the machines by a bridge in a namespace of its own."""
    with _namespace(name):
        _ip("-n", name, "link", "add", "br0", "type", "bridge")
        _ip("-n", name, "link", "set", "br0", "up")
        for number, machine in enumerate(connected, start=1):
            cable = ("eth0", "type", "veth", "peer", "name", f"p{number}", "netns", name)
            _ip("-n", machine.namespace, "link", "add", *cable)
            _ip("-n", name, "link", "set", f"p{number}", "master", "br0", "up")
        yield


@contextmanager
def _relay(connected: Sequence[Machine], delay: float) -> Iterator[None]:
    """Connects eth0 of the machines by a switch that delays by so many milliseconds."""
    compiler = shutil.which("cc")
    if not compiler or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("nothing delays packets: this needs /dev/net/tun and a C compiler")
    names = [machine.namespace for machine in connected]
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/relay"
        source = Path(__file__).with_name("relay.c")
        subprocess.run((compiler, "-O2", "-o", program, source), check=True)
        command = (program, str(round(1000 * delay)), *names)
        started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with started as relay:
        assert relay.stdout
        if not relay.stdout.readline():
            raise RuntimeError(f"the relay ended [{relay.wait()}]")
        yield


def _limit(machine: Machine, rate: str) -> None:
    """Limits what a machine sends."""
    limit = ("root", "tbf", "rate", rate, "burst", "1mb", "latency", "50ms")
    done = subprocess.run(
        machine.command("tc", "qdisc", "add", "dev", "eth0", *limit),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this kernel limits no rate (tbf): {done.stderr.strip()}")


def _ip(*words: str) -> str:
    return subprocess.run(("ip", *words), capture_output=True, text=True, check=True).stdout

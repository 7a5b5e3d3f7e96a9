"""A Ray cluster whose nodes are network namespaces, and a project that runs experiments there."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.network import Machine, kill, machines
from tests.support import Workspace

PORT = 6379
TOKEN = "0123456789abcdef" * 4
AT_START = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_TOKEN": TOKEN,
}


@dataclass
class Cluster:
    """Two nodes, the first of which is the head and runs the driver."""

    nodes: Sequence[Machine]
    project: Workspace  # with a git remote and a DVC remote in folders
    scratch: Path  # where nodes keep their clones and caches

    @property
    def address(self) -> str:
        """Of the head."""
        return f"{self.nodes[0].address}:{PORT}"

    def start(self, module: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Starts a program on the head."""
        command = ("python", "-m", module, *arguments, "--ray-address", self.address)
        environment = self.project.environment() | {"RAY_AUTH_TOKEN": TOKEN} | variables
        return subprocess.Popen(
            self.nodes[0].command(*command),
            cwd=self.project.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, module: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Runs a program on the head: its exit code, and what it printed."""
        process = self.start(module, *arguments, **variables)
        out, errors = process.communicate()
        return process.returncode, out, errors

    def output(self, node: Machine) -> str:
        """What the experiments that run on `node` have printed so far."""
        files = self.scratch.glob(f"pipeline-experiments-*/{node.address}/clones/*/output")
        return "".join(file.read_text() for file in files)

    def clones(self) -> list[str]:
        """Of all nodes."""
        found = self.scratch.glob("pipeline-experiments-*/*/clones/*")
        return sorted(str(path) for path in found)


@contextmanager
def cluster(project: Workspace, folder: Path, cpus: int) -> Iterator[Cluster]:
    """A cluster of two nodes, each with so many `cpus`, which it need not have."""
    scratch = folder / "scratch"
    scratch.mkdir()
    with machines(2) as nodes, tempfile.TemporaryDirectory(prefix="ray") as sockets:
        made = Cluster(nodes, project, scratch)
        options = ("--num-cpus", f"{cpus}", "--object-store-memory", "100000000")
        head = ("--head", "--port", f"{PORT}", "--include-dashboard=false", "--temp-dir", sockets)
        _start_ray(made, nodes[0], *head, "--node-ip-address", nodes[0].address, *options)
        _start_ray(made, nodes[1], "--address", made.address, *options)
        try:
            yield made
        finally:
            for node in nodes:
                kill(node.processes())  # before their folders go


def _start_ray(made: Cluster, node: Machine, *options: str) -> None:
    environment = made.project.environment() | AT_START | {"TMPDIR": str(made.scratch)}
    done = subprocess.run(
        node.command("ray", "start", *options),
        env=environment | {"HOME": str(made.scratch)},
        capture_output=True,
        text=True,
        check=False,
        cwd=os.sep,
    )
    assert done.returncode == 0, done.stdout + done.stderr

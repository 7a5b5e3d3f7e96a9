"""A Ray cluster whose nodes are network namespaces, and a project that runs experiments there."""

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.network import Machine, kill, machines
from tests.support import REPOSITORY, Workspace

HEAD = "head:6379"  # on the page
PAGE = (REPOSITORY / "docs/clusters.md").read_text()
ON_THE_HEAD, ON_A_NODE = re.findall(r"^```sh\n(source.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
DIGITS = 64  # of a token, which is printed first
WITHOUT_SETUP = "make -o .venv/.ready -o params.schema.json"


@dataclass
class Cluster:
    """Two nodes, the first of which is the head and runs the driver."""

    nodes: Sequence[Machine]
    project: Workspace  # with a git remote and a DVC remote in folders
    scratch: Path  # where nodes keep their clones and caches
    token: str = ""

    @property
    def address(self) -> str:
        """Of the head."""
        return HEAD.replace("head", self.nodes[0].address)

    def start(self, module: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Starts a program on the head."""
        command = ("python", "-m", module, *arguments, "--ray-address", self.address)
        return self.started(*command, **variables)

    def make(self, line: str) -> subprocess.Popen[str]:
        """Starts a command of the page on the head, which begins with make."""
        command = line.replace("make", WITHOUT_SETUP, 1).replace(HEAD, self.address)
        return self.started("bash", "-euc", command)

    def started(self, *command: str, **variables: str) -> subprocess.Popen[str]:
        """Starts a command on the head."""
        environment = self.project.environment() | {"RAY_AUTH_TOKEN": self.token} | variables
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
        options = f"--num-cpus={cpus} --object-store-memory=100000000"
        head = f"--temp-dir={sockets} --node-ip-address={nodes[0].address} {options}"
        try:
            made.token = _run(made, nodes[0], ON_THE_HEAD, head)[:DIGITS]
            _run(made, nodes[1], ON_A_NODE, options)
            yield made
        finally:
            for node in nodes:
                kill(node.processes())  # before their folders go


def _run(made: Cluster, node: Machine, commands: str, options: str) -> str:
    """What the page's commands print that start a node, with more `options` for `ray start`."""
    commands = commands.replace("source .venv/bin/activate\n", "").replace(
        "TOKEN=TOKEN", "TOKEN=%s"
    )
    commands = commands.replace(HEAD, made.address).replace("ray start", f"ray start {options}")
    own = {"TMPDIR": str(made.scratch), "HOME": str(made.scratch / node.namespace)}
    done = subprocess.run(
        node.command("bash", "-euc", commands.replace("%s", made.token)),
        cwd=made.project.root,
        env=made.project.environment() | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

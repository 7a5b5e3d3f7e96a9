"""What a fault is: something goes wrong, and what the pipeline must make of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.support import Workspace

Prepare = Callable[[Workspace], object]
OUTPUTS = ("data/raw", "data/processed", "models", "metrics", "dvc.lock")


def nothing(_workspace: Workspace) -> None:
    """Prepares nothing."""


@dataclass(frozen=True)
class Fault:
    """One row of docs/faults.md: what goes wrong, and how the program ends."""

    what: str
    command: str  # for a shell, in a reproduced copy of the repository
    code: int  # the exit code
    line: str  # what the program must say, on standard error or else on standard output
    prepare: Prepare = nothing
    variables: dict[str, str] = field(default_factory=dict)  # of the environment
    undo: Prepare = nothing  # what a user must put right before `dvc repro`
    incomplete: bool = False  # whether outputs may be missing until the next run
    nightly: bool = False  # differs little from others, so it is not tried with every change
    fast: bool = False  # takes less than a second, so it is also tried in the fast suite


def nightly(fault: Fault) -> Fault:
    """A row of a factory that is not tried with every change."""
    return replace(fault, nightly=True)


def strike(
    call: str, path: str, *, error: int = 0, signal: int = 0, skip: int = 0
) -> dict[str, str]:
    """The variables with which the shim fails a `call` for `path`, or sends a signal there."""
    how = {"FAULT_SIGNAL": str(signal)} if signal else {"FAULT_ERRNO": str(error)}
    return {"FAULT_CALL": call, "FAULT_PATH": path, "FAULT_SKIP": str(skip), **how}


def stage(name: str) -> str:
    """The command that runs a stage."""
    return f"python -m pipeline.{name}"


def write(path: str, content: bytes | str) -> Prepare:
    """Replaces a file."""

    def prepare(workspace: Workspace) -> None:
        target = workspace.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)

    return prepare


def remove(path: str) -> Prepare:
    """Removes a file."""
    return shell(f"rm {path}")


def shell(command: str) -> Prepare:
    """Runs a command."""
    return lambda workspace: workspace.run("bash", "-ec", command)


def downloading(*commands: str) -> Prepare:
    """Makes the digits a dataset that is downloaded, then runs `commands`.

    It is called distant, and the folder `served` is its only mirror. `AT_HAND` undoes that.
    """
    description = "sed 's/^files:/mirrors: [served]\\nfiles:/' served/dataset.yaml"
    return shell(
        "; ".join(
            [
                "cp -r data/sources/digits served",
                "mkdir data/sources/distant",
                f"{description} > data/sources/distant/dataset.yaml",
                "sed -i 's/name: digits/name: distant/' params.yaml",
                *commands,
            ]
        )
    )


AT_HAND = shell("rm -rf served data/sources/distant; git checkout --quiet HEAD .")


def steps(*prepares: Prepare) -> Prepare:
    """Does several things in order."""

    def prepare(workspace: Workspace) -> None:
        for one in prepares:
            one(workspace)

    return prepare


def setting(**values: object) -> Prepare:
    """Changes params.yaml; `train__epochs` stands for train.epochs."""

    def prepare(workspace: Workspace) -> None:
        for key, value in values.items():
            workspace.set(key.replace("__", "."), value)

    return prepare


def change(path: str, how: Callable[[bytes], bytes]) -> Prepare:
    """Changes the bytes of a file."""

    def prepare(workspace: Workspace) -> None:
        target = workspace.root / path
        content = how(target.read_bytes())
        target.unlink()  # DVC protects what its cache is linked to
        target.write_bytes(content)

    return prepare


def run_shell(workspace: Workspace, fault: Fault, shim: Path) -> tuple[int, str, str]:
    """The exit code of the fault's command, and what it printed."""
    variables = dict(fault.variables)
    if "FAULT_CALL" in variables:
        variables["LD_PRELOAD"] = str(shim)
    done = Workspace(workspace.root, **variables).run("bash", "-c", fault.command, check=False)
    code = done.returncode if done.returncode >= 0 else 128 - done.returncode  # as a shell says it
    return code, done.stdout, done.stderr

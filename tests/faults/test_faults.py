"""Every fault ends as docs/faults.md says, leaves what was there, and the next run ends well."""

import subprocess
from pathlib import Path

import pytest

from tests.faults import (
    caches,
    checkpoints,
    data,
    disk,
    exports,
    gate,
    models,
    own,
    parameters,
    processes,
    surroundings,
    workers,
)
from tests.faults.fault import OUTPUTS, Fault, run_shell
from tests.support import REPOSITORY, Workspace

KINDS = {
    "The file system": disk,
    "Processes": processes,
    "Data": data,
    "Data of one's own": own,
    "Parameters": parameters,
    "Caches": caches,
    "Checkpoints": checkpoints,
    "Models": models,
    "Export": exports,
    "git, the gate, the report and the card": gate,
    "Several workers": workers,
    "The environment": surroundings,
}
FAULTS = {fault.what: fault for kind in KINDS.values() for fault in kind.FAULTS}
PAGE = REPOSITORY / "docs/faults.md"
HEAD = """# Faults
What goes wrong, and how the program at the start of a row ends when it is run by itself: its exit
code, and a part of what it prints. In every row the files that were there stay as they were, none
is half-written, and once the cause is gone the next plain `dvc repro` ends with the same bytes as
if nothing had happened. (A SIGKILL during a replacement may leave a hidden folder next to the
original, from which the next run restores it.)

`dvc repro` exits with 255 whatever a stage says. It removes the outputs of a stage before it runs
it, and refuses a params.yaml or dvc.yaml that is no YAML in its own words.

`tests/faults` tries each row and writes this page: `python -m pytest tests/faults --write-faults`.
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes calls fail."""
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(("cc", "-shared", "-fPIC", "-o", library, source, "-ldl"), check=True)
    return library


@pytest.mark.parametrize("what", [what for what, fault in FAULTS.items() if fault.fast])
def test_a_fault(what: str, workspace: Workspace, shim: Path) -> None:
    attempt(FAULTS[what], workspace, shim)


@pytest.mark.long("pipeline", "tests/faults", "dvc.yaml", "Makefile")
@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=pytest.mark.nightly) if fault.nightly else what
        for what, fault in FAULTS.items()
    ],
)
def test_a_fault_and_the_run_after_it(
    what: str, workspace: Workspace, reproduced: Workspace, shim: Path
) -> None:
    fault = FAULTS[what]
    attempt(fault, workspace, shim)
    fault.undo(workspace)
    workspace.repro()
    assert results(workspace) == results(reproduced)
    if fault.incomplete:  # the stage itself puts its own in order
        workspace.run("bash", "-c", fault.command)
        assert results(workspace) == results(reproduced)
    assert leftovers(workspace) == []
    assert workspace.run("git", "status", "--porcelain").stdout == ""


def attempt(fault: Fault, workspace: Workspace, shim: Path) -> None:
    """Lets the fault happen, and compares how that ends with what is expected."""
    whole = results(workspace)
    fault.prepare(workspace)
    before = results(workspace)
    code, output, errors = run_shell(workspace, fault, shim)
    assert code == fault.code, output + errors
    assert "Traceback" not in errors
    assert fault.line in (output if code == 0 else errors or output)
    after = results(workspace)
    if fault.incomplete:  # but each file that is there is whole
        assert after.items() <= before.items()
    elif code == 0:
        assert without_lock(after) in (without_lock(whole), without_lock(before))
    else:
        assert after in (before, whole)
    if not fault.incomplete:
        assert leftovers(workspace) == []


def results(workspace: Workspace) -> dict[str, bytes]:
    """The outputs of all stages, without the seconds that they took."""
    files = workspace.read(*OUTPUTS)
    return {
        name: content
        for name, content in files.items()
        if not name.endswith("timing.json") and "/." not in name
    }


def without_lock(files: dict[str, bytes]) -> dict[str, bytes]:
    """Outputs alone, without what they were made from."""
    return {name: content for name, content in files.items() if name != "dvc.lock"}


def leftovers(workspace: Workspace) -> list[str]:
    """Temporary files and folders."""
    names = (
        path.relative_to(workspace.root).as_posix()
        for kind in ("tmp", "old")
        for folder in ("data", "metrics", "models", ".pipeline")
        for path in (workspace.root / folder).rglob(f".*.{kind}")
    )
    return sorted(names)


def page() -> str:
    """docs/faults.md."""
    lines = [HEAD]
    for kind, faults in KINDS.items():
        lines += [f"\n## {kind}\n{faults.__doc__}\n\n| what goes wrong | exit code | message |"]
        lines += ["|---|---|---|", *(_row(fault) for fault in faults.FAULTS)]
    return "\n".join(lines) + "\n"


def _row(fault: Fault) -> str:
    cells = (fault.what, str(fault.code), f"`{fault.line}`" if fault.line else "")
    return f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in cells)} |"


def test_the_page_lists_every_fault(request: pytest.FixtureRequest) -> None:
    assert len(FAULTS) == sum(len(kind.FAULTS) for kind in KINDS.values())  # no two are alike
    assert len(FAULTS) >= 80
    if request.config.getoption("--write-faults"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page()

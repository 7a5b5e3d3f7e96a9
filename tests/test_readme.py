"""Every command in the documentation is run, here or in .ci/run."""

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import Workspace

CI = [line.strip() for line in Path(".ci/run").read_text().splitlines()]


def commands(document: str) -> list[str]:
    text = Path(document).read_text().replace("\\\n", "")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_commands_work(workspace: Workspace) -> None:
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Reproduced")
    for line in commands("README.md"):
        if line.startswith(("dvc ", "git ")):
            workspace.run(*shlex.split(line))
        if line.startswith("dvc exp run"):
            changed = workspace.run("git", "diff", "--numstat", "params.yaml").stdout.split()
            assert changed == ["1", "1", "params.yaml"]
    assert workspace.run("git", "status", "--porcelain").stdout == ""
    assert workspace.repro() == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_other_commands_are_run_elsewhere(document: str) -> None:
    for line in commands(document):
        if not line.startswith(("dvc ", "git ", "source ")):
            assert any(re.fullmatch(rf"([A-Z_]+=\S+ )*{re.escape(line)}", ran) for ran in CI)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_links_lead_somewhere(document: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", Path(document).read_text())
    assert [target for target in targets if not Path(target).exists()] == []

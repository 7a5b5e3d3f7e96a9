"""Every command in the documentation runs, here or in .ci/run."""

import re
import shlex

import pytest

from tests.support import REPOSITORY, Workspace

CI = [line.strip() for line in (REPOSITORY / ".ci/run").read_text().splitlines()]


def commands(document: str) -> list[str]:
    text = (REPOSITORY / document).read_text().replace("\\\n", "")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.long("README.md", "Makefile", "dvc.yaml", "params.yaml", "pipeline")
def test_the_commands_work(workspace: Workspace) -> None:
    for line in commands("README.md"):
        if line.startswith(("dvc ", "git ")):
            workspace.run(*shlex.split(line))
        if line.startswith("dvc exp run"):
            changed = workspace.run("git", "diff", "--numstat", "params.yaml").stdout.split()
            assert changed == ["1", "1", "params.yaml"]
    workspace.run("git", "add", "--all")  # as a killed `dvc exp run` leaves them
    without_setup = ("-o", ".venv/.ready", "-o", "params.schema.json")
    workspace.run("make", *without_setup, "restore")
    assert workspace.run("git", "status", "--porcelain").stdout == ""
    assert workspace.repro() == []


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_other_commands_are_run_elsewhere(document: str) -> None:
    for line in commands(document):
        if not line.startswith(("dvc ", "git ", "source ")):
            assert any(re.fullmatch(rf"([A-Z_]+=\S+ )*{re.escape(line)}", ran) for ran in CI)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_links_lead_somewhere(document: str) -> None:
    text = (REPOSITORY / document).read_text()
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [target for target in targets if not (REPOSITORY / target).exists()] == []

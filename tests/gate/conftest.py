import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate.repository import Repository
from tests.gate.support import BASELINE, EQUAL, WORSE


@pytest.fixture(autouse=True, scope="package")
def no_git_configuration() -> Iterator[None]:
    settings = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "Test" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "test@localhost" for who in ("AUTHOR", "COMMITTER")},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="package")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two commits on main, a worse model and the baseline; then a branch with an equal one."""
    repository = Repository.create(tmp_path_factory.mktemp("gate") / "repository")
    repository.write(WORSE)
    repository.commit("Worse")
    repository.write(BASELINE)
    repository.commit("Baseline")
    repository.git("switch", "--quiet", "--create", "branch")
    repository.write(EQUAL)
    repository.commit("Equal")
    return repository


@pytest.fixture
def repository(
    committed: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Repository:
    """A copy to change, which is the working directory."""
    copy = committed.copy(tmp_path / "repository")
    monkeypatch.chdir(copy.root)
    return copy

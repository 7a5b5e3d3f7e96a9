"""Every command of docs/share.md, with servers on loopback in place of its examples."""

import csv
import getpass
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from PIL import Image

from tests import servers
from tests.data.makers import digits
from tests.data.support import png
from tests.support import REPOSITORY, Workspace

CONCERNED = ("docs/share.md", "dvc.yaml", ".dvc", "requirements", "tests/servers.py")
MODEL = "models/model.keras"
RESULTS = ("data/processed", "data/raw", "dvc.lock", "metrics", MODEL)

Examples = dict[str, str]  # what the page has, and what stands for it in a test


def blocks(text: str) -> dict[str, list[str]]:
    """The blocks of commands below each heading."""
    sections = re.split(r"^#+ (.*)\n", text, flags=re.MULTILINE)[1:]
    found = {
        heading: re.findall(r"^```sh\n(.*?)^```", body, re.DOTALL | re.MULTILINE)
        for heading, body in zip(sections[::2], sections[1::2], strict=True)
    }
    return {heading: commands for heading, commands in found.items() if commands}


README = (REPOSITORY / "README.md").read_text()
PAGE = blocks((REPOSITORY / "docs/share.md").read_text())


@contextmanager
def a_folder(folder: Path) -> Iterator[Examples]:
    yield {"/srv/mnist": str(folder / "storage")}


@contextmanager
def s3(folder: Path) -> Iterator[Examples]:  # noqa: ARG001, it is in memory
    require("dvc_s3", "flask_cors", "moto")
    with servers.s3("bucket") as port:
        yield {"https://s3.example.com": f"http://{servers.HOST}:{port}"}


@contextmanager
def ssh(folder: Path) -> Iterator[Examples]:
    require("dvc_ssh")
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("sshd is not installed")
    with servers.sftp(sshd, folder) as port:
        yield {
            "ssh://host.example.com/srv": f"ssh://{servers.HOST}:{port}{folder}",
            "user ann": f"user {getpass.getuser()}",
            "~/.ssh/id_ed25519": str(folder / "key"),
        }


@contextmanager
def webdav(folder: Path) -> Iterator[Examples]:
    require("cheroot", "dvc_webdav", "wsgidav")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    with servers.webdav(folder, "ann", "PASSWORD") as port:
        yield {
            "https://dav.example.com": f"http://{servers.HOST}:{port}",
            "webdavs://dav.example.com": f"webdav://{servers.HOST}:{port}",
            "--user ann": "--user ann:PASSWORD",  # for which curl would ask
        }


REMOTES: dict[str, Callable[[Path], AbstractContextManager[Examples]]] = {
    "A folder": a_folder,
    "S3": s3,
    "SSH": ssh,
    "WebDAV": webdav,
}


def require(*modules: str) -> None:
    """Skips the test unless all of `modules` are installed."""
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is in requirements-*.lock only")


def run(workspace: Workspace, commands: str, examples: Examples) -> str:
    """Runs `commands` there in one shell, and returns what they print."""
    for example, substitute in examples.items():
        commands = commands.replace(example, substitute)
    return workspace.run("bash", "-euo", "pipefail", "-c", commands).stdout


class Team:
    """Ann's repository, the git remote that she pushes to, and the clones of her colleagues."""

    def __init__(self, reproduced: Workspace, folder: Path, examples: Examples) -> None:
        self.folder = folder
        self.origin = folder / "mnist.git"
        self.ann = reproduced.copy(folder / "ann")
        self.ann.variables = {"no_proxy": servers.HOST}
        # A clone gets the environment of the tests in place of one that `make setup` installs.
        ready = "make -o .venv/.ready -o params.schema.json setup"
        self.examples = examples | {
            "https://git.example.com/mnist.git": str(self.origin),
            "make setup": f"ln -s {sys.prefix} .venv; {ready}",
        }
        self.ann.run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(self.origin))
        self.ann.run("git", "remote", "add", "origin", str(self.origin))
        self.ann.run("git", "push", "--quiet", "--set-upstream", "origin", "main")

    def push(self, remote: str) -> None:
        """Ann sets up `remote`, a section of the page, and pushes."""
        run(self.ann, PAGE[remote][0] + PAGE["Push"][0], self.examples)

    def elsewhere(self, name: str) -> Workspace:
        """A folder that is no repository."""
        (self.folder / name).mkdir()
        return Workspace(self.folder / name, **self.ann.variables)

    def clone(self, name: str) -> Workspace:
        """A colleague's clone, without any results that are not in git."""
        self.ann.run("git", "clone", "--quiet", str(self.origin), str(self.folder / name))
        return Workspace(self.folder / name, **self.ann.variables)


@pytest.fixture(scope="module")
def team(reproduced: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """They share a folder, to which Ann has pushed."""
    folder = tmp_path_factory.mktemp("team")
    with a_folder(folder) as examples:
        team = Team(reproduced, folder, examples)
        team.push("A folder")
        yield team


@pytest.fixture(scope="module")
def experiment(team: Team) -> Workspace:
    """Ann's repository with the experiment that she has pushed, applied."""
    ann = team.ann.copy(team.folder / "experiment")
    run(ann, PAGE["Experiments"][0], team.examples)
    return ann


def results(workspace: Workspace) -> dict[str, bytes]:
    """The results there, of which `dvc status` says that they are up to date."""
    assert workspace.run("dvc", "status").stdout == "Data and pipelines are up to date.\n"
    files = workspace.read(*RESULTS)
    files.pop("metrics/timing.json", None)  # stays on the machine whose times it has
    return files


def test_every_section_is_tried_below() -> None:
    assert {*PAGE} == {
        "Choose a remote",
        *REMOTES,
        "Push",
        "What a colleague does",
        "Experiments",
        "One cache for several people",
        "Register a model",
    }


@pytest.mark.long(*CONCERNED)
def test_the_lock_of_the_remotes_is_installed_here(workspace: Workspace) -> None:
    require("dvc_s3", "dvc_ssh", "dvc_webdav")
    workspace.variables = {"PIP_NO_INDEX": "1"}
    (commands,) = PAGE["Choose a remote"]
    assert "Successfully installed" not in run(workspace, commands, {})


@pytest.mark.long(*CONCERNED)
@pytest.mark.parametrize("remote", REMOTES)
def test_a_colleague_retrains_nothing(remote: str, reproduced: Workspace, tmp_path: Path) -> None:
    with REMOTES[remote](tmp_path) as examples:
        team = Team(reproduced, tmp_path, examples)
        team.push(remote)
        own = [line for line in PAGE[remote][0].splitlines() if "--local" in line]
        (commands,) = PAGE["What a colleague does"]
        commands = commands.replace("dvc pull", "\n".join([*own, "dvc pull"]))
        printed = run(team.elsewhere("home"), commands, team.examples)
        bob = Workspace(tmp_path / "home/mnist", **team.ann.variables)
        assert printed.count("didn't change, skipping") == 4
        assert results(bob) == results(team.ann)
        assert bob.run("git", "status", "--porcelain").stdout == ""


@pytest.mark.long(*CONCERNED)
def test_webdav_needs_a_collection_and_credentials(reproduced: Workspace, tmp_path: Path) -> None:
    with webdav(tmp_path) as examples:
        team = Team(reproduced, tmp_path, examples)
        collection, *others = PAGE["WebDAV"][0].splitlines()
        run(team.ann, "\n".join(others), team.examples)
        failed = team.ann.run("dvc", "push", check=False)
        assert failed.returncode
        assert "No such file or directory: ''" in failed.stderr
        register, without_credentials, _, with_credentials = PAGE["Register a model"]
        run(team.ann, "\n".join([collection, PAGE["Push"][0], register]), team.examples)
        home = team.elsewhere("home")
        with pytest.raises(AssertionError, match="No storage files available"):
            run(home, without_credentials, team.examples)
        run(home, with_credentials, team.examples)
        assert [*home.read(".").values()] == [*team.ann.read(MODEL).values()]


@pytest.mark.nightly
@pytest.mark.long(*CONCERNED)
def test_a_model_that_was_changed_on_the_remote_is_not_pulled(team: Team) -> None:
    changed = team.folder / "changed"
    shutil.copytree(team.folder / "storage", changed)
    (content,) = team.ann.read(MODEL).values()
    files = (path for path in changed.rglob("*") if path.is_file())
    (model,) = (path for path in files if path.read_bytes() == content)
    model.chmod(0o644)
    model.write_bytes(content.replace(b"keras", b"Keras"))
    model.chmod(0o444)  # as DVC has it
    bob = team.clone("verifies")
    bob.run("dvc", "remote", "modify", "--local", "storage", "url", str(changed))
    assert bob.run("dvc", "pull", check=False).returncode
    assert not (bob.root / MODEL).exists()


@pytest.mark.nightly
@pytest.mark.long(*CONCERNED)
def test_a_colleague_takes_over_an_experiment(team: Team, experiment: Workspace) -> None:
    bob = team.clone("takes-over")
    assert "seed-1" in run(bob, PAGE["Experiments"][1], team.examples)
    assert bob.repro() == []
    assert results(bob) == results(experiment)


@pytest.mark.nightly
@pytest.mark.long(*CONCERNED)
def test_the_run_cache_lacks_what_is_in_git(team: Team) -> None:
    team.ann.run("dvc", "push", "--run-cache")
    bob = team.clone("run-cache")
    bob.run("dvc", "pull", "--run-cache")
    bob.run("rm", "dvc.lock")  # as if nothing had been run
    repro = bob.run("dvc", "repro", "--pull", "preprocess")
    missing = re.findall(r"^name: (\S+),", repro.stderr, re.MULTILINE)
    assert missing == ["metrics/download.json", "metrics/preprocess.json"]
    assert re.findall("Running stage '(.*)'", repro.stdout) == ["download", "preprocess"]


@pytest.mark.nightly
@pytest.mark.long(*CONCERNED)
def test_a_cache_has_the_runs_of_all_who_share_it(team: Team) -> None:
    (commands,) = PAGE["One cache for several people"]
    examples = {"/srv/dvc-cache": str(team.folder / "cache")}
    ann = team.ann.copy(team.folder / "shares")
    run(ann, commands, examples)
    ann.run("dvc", "commit", "--force")
    bob = team.clone("shares-too")
    run(bob, commands, examples)
    bob.run("dvc", "checkout")
    assert results(bob) == results(ann)
    bob.run("sh", "-c", "rm -r dvc.lock models metrics/*.csv metrics/*.png")
    assert bob.repro() == []
    assert results(bob) == results(ann)


@pytest.mark.nightly
@pytest.mark.long(*CONCERNED)
def test_a_registered_model_is_fetched_from_elsewhere(team: Team) -> None:
    register, fetch, *_ = PAGE["Register a model"]
    assert re.search(r"classifier .* v1.0.0 .* v1.0.0 ", run(team.ann, register, team.examples))
    home = team.elsewhere("anywhere")
    run(home, fetch, team.examples)
    (model,) = team.ann.read(MODEL).values()
    assert home.read(".") == {"model.keras": model, "v1.keras": model}

    team.ann.run("git", "commit", "--quiet", "--allow-empty", "--message", "Another model")
    register = register.replace("v1.0.0", "v2.0.0")
    assert re.search(r"classifier .* v2.0.0 .* v2.0.0 ", run(team.ann, register, team.examples))
    back = "gto assign classifier --version v1.0.0 --stage prod --force; gto show"
    assert re.search(r"classifier .* v2.0.0 .* v1.0.0 ", run(team.ann, back, {}))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the first test images."""
    folder = tmp_path_factory.mktemp("pictures")
    for index, image in enumerate(digits()["test"][0][:30]):
        (folder / f"{index:02}.png").write_bytes(png(Image.fromarray(image)))
    return folder


def answers(workspace: Workspace, command: str, pictures: Path) -> list[str]:
    """The class of each of the `pictures` by the model that the `command` names."""
    command = command.replace("PICTURES", str(pictures))
    workspace.run("bash", "-euc", f"{command.strip()} --csv answers.csv")
    with (workspace.root / "answers.csv").open() as file:
        return [row["class"] for row in csv.DictReader(file)]


@pytest.mark.nightly
@pytest.mark.long(*CONCERNED, "README.md", "pipeline/predict.py")
def test_four_lines_bring_a_model_to_another_repository(
    reproduced: Workspace, tmp_path: Path, pictures: Path
) -> None:
    (lines,) = re.findall(r"^```\n(gto .*?)^```", README, re.DOTALL | re.MULTILINE)
    *register, fetch, predict = lines.splitlines()
    assert len(register) == 2
    assert {*lines.splitlines()} <= {
        line for block in PAGE["Register a model"] for line in block.splitlines()
    }
    with a_folder(tmp_path) as examples:
        team = Team(reproduced, tmp_path, examples)
        team.push("A folder")
        run(team.ann, "\n".join(register), team.examples)
        rows = team.ann.read("metrics/predictions.csv")["metrics/predictions.csv"].splitlines()
        committed = [row.decode().split(",")[2] for row in rows[1:31]]

        clone = team.clone("without-data")
        other = team.elsewhere("other")
        other.run("git", "init", "--quiet")
        offline = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet")
        clone.run("python", "-m", "pip", "install", *offline, "--target", "../package", ".")
        clone.run("git", "clean", "--quiet", "-dfx")
        other.variables |= {"PYTHONPATH": str(tmp_path / "package")}
        for workspace in (clone, other):
            run(workspace, fetch, team.examples)
            assert answers(workspace, predict, pictures) == committed

"""The remotes by which a cluster gets a commit, and its experiments come back."""

import configparser
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from experiments import results, sets
from pipeline.errors import InputError
from pipeline.repository import Commit, changed_files, commit_of, dvc, git

REFS = "refs/pipeline"  # of the git remote: commits that no branch has, while experiments run
# What the clones of a commit must have, and DVC's queue would take along uncommitted.
NEEDED = ("data/", "dvc.yaml", "pipeline/", ".dvc/")


class Remote:
    """The git remote by which experiments come back."""

    def __init__(self, name: str) -> None:
        """Checks that there are remotes that nodes can use, and that they get all they need.

        Raises:
            InputError: there are none, or the commit lacks what is changed here.
        """
        self.name = name
        self.head = commit_of("HEAD")
        self.url = _git_url(name)
        _check_dvc_remote()
        if changed := [file for file in changed_files() if file.startswith(NEEDED)]:
            raise InputError(
                f"{changed[0]}: has changed since the last commit, which is what a cluster runs; "
                f"commit it, or git restore it"
            )
        self.experiments = f"refs/exps/{self.head[:2]}/{self.head[2:]}"
        self.there = self._refs(f"{self.experiments}/*")

    def has(self, name: str, wanted: sets.Flat) -> bool:
        """Whether an experiment has come back to git's remote, and is fetched with its outputs.

        Raises:
            InputError: it has other parameters.
        """
        ref = f"{self.experiments}/{name}"
        commit = self.there.get(ref)
        if not commit:
            return False
        git("fetch", "--quiet", self.name, ref)
        results.check(
            results.Run(name, Commit(name, commit)),
            wanted,
            f"dvc exp remove --git-remote {self.name} {name}",
        )
        return not self.fetch(name)

    def fetch(self, name: str) -> str:
        """Fetches an experiment and its outputs. Returns why it failed, empty if it did not."""
        ref = f"{self.experiments}/{name}"
        try:
            dvc("exp", "pull", self.name, ref, own_session=True)
        except InputError as error:
            with suppress(InputError):
                git("update-ref", "-d", ref)  # DVC fetches the commit first
            return str(error)
        return ""

    @contextmanager
    def offering(self) -> Iterator[str]:
        """Makes the commit available to the nodes.

        Yields:
            The ref that has it until the end of the block, empty if a branch or a tag has it.
        """
        self._remove_left()
        if self._published():
            yield ""
            return
        ref = f"{REFS}/{_host()}-{os.getpid()}"
        git("push", "--quiet", "--force", self.name, f"{self.head}:{ref}")
        try:
            yield ref
        finally:
            with suppress(InputError):
                git("push", "--quiet", self.name, f":{ref}")

    def _published(self) -> bool:
        """Whether a branch or a tag of the remote contains the commit, as far as is known here."""
        tips = {*self._refs("refs/heads/*", "refs/tags/*").values()}
        return any(_contains(tip, self.head) for tip in tips)

    def _remove_left(self) -> None:
        """Removes what runs on this machine have left that were killed."""
        for ref in self._refs(f"{REFS}/{_host()}-*"):
            if not Path("/proc", ref.rpartition("-")[2]).exists():
                git("push", "--quiet", self.name, f":{ref}")

    def _refs(self, *patterns: str) -> dict[str, str]:
        """The commits of the remote's refs by their names.

        Raises:
            InputError: git cannot read it.
        """
        lines = git("ls-remote", self.name, *patterns).splitlines()
        return {name: commit for commit, name in map(str.split, lines)}


def _contains(tip: str, commit: str) -> bool:
    """Whether `commit` is `tip` or before it, as far as this clone has them."""
    if tip == commit:
        return True
    try:
        git("merge-base", "--is-ancestor", commit, tip)
    except InputError:
        return False
    return True


def _host() -> str:
    """The name of this machine, as part of a ref."""
    return "".join(sign if sign.isalnum() else "-" for sign in socket.gethostname())


def _git_url(name: str) -> str:
    """The address of a git remote, absolute if it is a folder.

    Raises:
        InputError: there is no such remote.
    """
    try:
        url = git("remote", "get-url", name)
    except InputError as error:
        raise InputError(
            f"git has no remote {name}, by which experiments come back from a cluster; "
            f"git remote add {name} URL, or name another one: GIT_REMOTE=NAME"
        ) from error
    return str(Path(url).resolve()) if Path(url).exists() else url


def _check_dvc_remote() -> None:
    """Checks that a clone of the commit has a default remote.

    Raises:
        InputError: it has none.
    """
    config = configparser.ConfigParser(interpolation=None)
    with suppress(InputError):
        config.read_string(Commit("HEAD", "HEAD").read(Path(".dvc/config")).decode())
    name = config.get("core", "remote", fallback="")
    if not name:
        raise InputError(
            "the commit has no default remote of DVC, by which data and models come back from a "
            "cluster; dvc remote add -d storage ADDRESS, and commit .dvc/config (docs/share.md)"
        )
    url = config.get(f"'remote \"{name}\"'", "url", fallback="")
    if "://" not in url and not Path(url).is_absolute():
        raise InputError(
            f".dvc/config: the remote {name} is the folder {url}, which is another one for each "
            f"clone; give its absolute path: dvc remote modify {name} url PATH, and commit"
        )

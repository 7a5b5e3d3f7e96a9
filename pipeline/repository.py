"""git and DVC: where the files of a commit or of the working tree are read from.

A `Source` is one state of the project: the working tree, or a commit. Commits are read from git
alone, so a clone without data, a fork or a detached HEAD will do.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline import paths
from pipeline.errors import InputError
from pipeline.records import read_file

DVC = (sys.executable, "-P", "-m", "dvc")  # not a package of that name in the working directory
# Nothing that git is configured to start takes part.
GIT = ("git", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false")
MAIN_BRANCHES = ("origin/main", "main", "origin/master", "master", "origin/HEAD")


class NoBaselineError(InputError):
    """There is nothing to compare with yet."""


@dataclass(frozen=True)
class Source:
    """The files of one state of the project."""

    name: str  # for messages
    remedy: str  # what to do if its files are wrong, for messages
    read: Callable[[Path], bytes]  # raises InputError where there is no such file


WORKING_TREE = Source("here", "run dvc repro", read_file)


@dataclass(frozen=True)
class Commit:
    """A commit of the repository around the working directory."""

    name: str  # as a person would say it
    hash: str

    def __str__(self) -> str:
        short = self.hash[:7]
        return short if self.hash.startswith(self.name) else f"{self.name} ({short})"

    def is_head(self) -> bool:
        """Whether it is the commit that is checked out."""
        return self.hash == _hash("HEAD")

    def contains(self, path: Path) -> bool:
        """Whether it has a file `path`."""
        return bool(git("ls-tree", "--name-only", self.hash, "--", str(path)))

    def files(self) -> set[str]:
        """The files below the working directory that it has."""
        return set(_lines(git("ls-tree", "-r", "--name-only", "-z", self.hash)))

    def read(self, path: Path) -> bytes:
        """The content of `path` in this commit.

        Raises:
            InputError: it has no such file.
        """
        done = _git("cat-file", "blob", f"{self.hash}:./{path}")
        if done.returncode:
            raise InputError(f"{path}: {self} has no such file")
        return done.stdout


def find_commit(name: str) -> Commit:
    """The commit called `name`: HEAD or an ancestor of it.

    Raises:
        InputError: there is none, or it is no ancestor, as far as this clone knows.
    """
    commit = commit_of(name)
    if _git("merge-base", "--is-ancestor", commit, "HEAD").returncode:
        raise InputError(
            f"{name}: {commit[:7]} is not an ancestor of HEAD, so HEAD does not replace it; "
            f"use the merge base: git merge-base HEAD {name}{_if_shallow()}"
        )
    return Commit(name, commit)


def commit_of(name: str) -> str:
    """The hash of the commit called `name`.

    Raises:
        InputError: git knows none.
    """
    commit = _hash(name)
    if not commit:
        raise InputError(f"{name!r}: git knows no such commit{_if_shallow()}")
    return commit


def default_baseline() -> Commit:
    """The commit that a new model would replace.

    On a branch this is the merge base with the main branch. On the main branch it is HEAD if the
    predictions here are not the committed ones, else the commit before it.

    Raises:
        InputError: this is no git repository, or no main branch is known.
        NoBaselineError: HEAD is the first commit.
    """
    git("rev-parse", "--git-dir")
    head = _hash("HEAD")
    if not head:
        raise NoBaselineError("there is no commit yet, so no baseline")
    if git("branch", "--show-current") not in ("main", "master"):
        main = next(filter(_hash, MAIN_BRANCHES), None)
        if not main:
            raise InputError(
                f"found no main branch, expected one of {', '.join(MAIN_BRANCHES)}; "
                f"name the commit to compare with: --baseline REV"
            )
        base = _git("merge-base", "HEAD", main).stdout.decode().strip()
        if not base:
            raise InputError(f"HEAD and {main} have no common ancestor{_if_shallow()}")
        if base != head:
            return Commit(f"at the merge base with {main}", base)
    if _git("diff", "--quiet", "HEAD", "--", str(paths.PREDICTIONS)).returncode:
        return Commit("HEAD", head)
    parent = _hash("HEAD~1")
    if not parent:
        shallow = _if_shallow()
        raise (InputError if shallow else NoBaselineError)(f"HEAD has no parent commit{shallow}")
    return Commit("HEAD~1", parent)


def tracked_files() -> set[str]:
    """The files below the working directory that git tracks.

    Raises:
        InputError: this is no git repository.
    """
    return set(_lines(git("ls-files", "-z")))


def changed_files() -> list[str]:
    """The tracked files that differ from HEAD.

    Raises:
        InputError: this is no git repository, or it has no commit.
    """
    return list(_lines(git("diff", "--name-only", "--relative", "-z", "HEAD")))


def git(*arguments: str) -> str:
    """What git prints, without surrounding white space.

    Raises:
        InputError: git fails.
    """
    done = _git(*arguments)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise InputError(f"git {arguments[0]}: {said}")
    return done.stdout.decode(errors="replace").strip()


def dvc(
    *arguments: str, check: bool = True, folder: Path = Path(), own_session: bool = False
) -> str:
    """What DVC prints.

    Args:
        arguments: of the command.
        check: whether a failure is an error.
        folder: where to run it.
        own_session: whether Ctrl-C in the terminal passes it by.

    Raises:
        InputError: DVC fails, and `check` is set.
    """
    done = subprocess.run(  # noqa: S603, no shell
        (*DVC, *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        start_new_session=own_session,
        check=False,
    )
    if check and done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise InputError(f"dvc {' '.join(arguments[:3])}: {said}")
    return done.stdout


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs git, with `git replace` off: no commit stands in for another."""
    environment = os.environ | {"LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"}
    try:
        return subprocess.run(  # noqa: S603, no shell, and names follow --end-of-options
            (*GIT, *arguments),
            capture_output=True,
            check=False,
            env=environment,
        )
    except FileNotFoundError as error:
        raise InputError("git: no such program; commits are read with it") from error


def _hash(name: str) -> str:
    """The hash of the commit called `name`, empty if there is none."""
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return done.stdout.decode().strip()


def _if_shallow() -> str:
    """What to add to a message where a shallow clone may be the reason."""
    if git("rev-parse", "--is-shallow-repository") != "true":
        return ""
    return "; this clone is shallow: git fetch --unshallow (in CI, a full fetch depth)"


def _lines(output: str) -> Iterable[str]:
    """The entries of a list that git separates by NUL."""
    return filter(None, output.split("\0"))

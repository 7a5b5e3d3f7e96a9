"""The revision to compare with, and its files, read from git alone.

A clone without data, a fork, and a clone with a detached HEAD serve; a shallow one must hold the
revision.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline import paths
from pipeline.errors import InputError

MAIN_BRANCHES = ("origin/main", "main", "origin/master", "master", "origin/HEAD")


class NoBaselineError(InputError):
    """There is nothing to compare with yet."""


@dataclass(frozen=True)
class Revision:
    """A commit of the repository around the working directory."""

    name: str  # as a person says it
    commit: str  # its hash

    def __str__(self) -> str:
        return self.commit[:7] if self.name == self.commit else f"{self.name} ({self.commit[:7]})"

    def is_head(self) -> bool:
        """Whether it is the commit that is checked out."""
        return self.commit == _commit("HEAD")

    def holds(self, path: Path) -> bool:
        """Whether there is such a file in it."""
        return bool(git("ls-tree", "--name-only", self.commit, "--", str(path)))

    def read(self, path: Path) -> bytes:
        """The content of `path` in this revision.

        Raises:
            InputError: there is no such file.
        """
        done = _run("cat-file", "blob", f"{self.commit}:./{path}")
        if done.returncode:
            raise InputError(f"{path}: the baseline {self} has no such file")
        return done.stdout


def find(name: str) -> Revision:
    """The revision called `name`, an ancestor of HEAD or HEAD itself.

    Raises:
        InputError: there is none, or it is no ancestor, as far as this clone knows.
    """
    commit = _commit(name)
    if not commit:
        raise InputError(f"--baseline {name!r}: git knows no such commit{_if_shallow()}")
    if _run("merge-base", "--is-ancestor", commit, "HEAD").returncode:
        raise InputError(
            f"--baseline {name}: {commit[:7]} is no ancestor of HEAD, so HEAD does not replace it; "
            f"take the merge base: git merge-base HEAD {name}{_if_shallow()}"
        )
    return Revision(name, commit)


def default() -> Revision:
    """What a new model would replace.

    On a branch it is the merge base with the main branch. On the main branch it is HEAD if the
    predictions here are not the committed ones, else the commit before it.

    Raises:
        InputError: this is no git repository with a commit, or no main branch is known.
        NoBaselineError: HEAD is the first commit.
    """
    git("rev-parse", "--git-dir")
    head = _commit("HEAD")
    if not head:
        raise NoBaselineError("there is no commit yet, so no baseline")
    if git("branch", "--show-current") not in ("main", "master"):
        main = next(filter(_commit, MAIN_BRANCHES), None)
        if not main:
            raise InputError(
                f"no main branch, expected one of {', '.join(MAIN_BRANCHES)}; "
                f"name the commit to compare with: --baseline REV"
            )
        base = _run("merge-base", "HEAD", main).stdout.decode().strip()
        if not base:
            raise InputError(f"HEAD has no ancestor in common with {main}{_if_shallow()}")
        if base != head:
            return Revision(f"merge base with {main}", base)
    if _run("diff", "--quiet", "HEAD", "--", str(paths.PREDICTIONS)).returncode:
        return Revision("HEAD", head)
    before = _commit("HEAD~1")
    if not before:
        shallow = _if_shallow()
        raise (InputError if shallow else NoBaselineError)(f"HEAD has no commit before it{shallow}")
    return Revision("HEAD~1", before)


def tracked() -> set[str]:
    """The files below the working directory that git knows.

    Raises:
        InputError: this is no git repository.
    """
    return set(filter(None, git("ls-files", "-z").split("\0")))


def head() -> str:
    """The commit that is checked out, in short, and whether files of git's differ from it."""
    return git("rev-parse", "--short=7", "HEAD") + (", with changes" if uncommitted() else "")


def uncommitted() -> list[str]:
    """Those of them that are not as in HEAD.

    Raises:
        InputError: this is no git repository, or has no commit.
    """
    return list(filter(None, git("diff", "--name-only", "--relative", "-z", "HEAD").split("\0")))


def _commit(name: str) -> str:
    """The hash of the commit called `name`, empty if there is none."""
    done = _run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return done.stdout.decode().strip()


def _if_shallow() -> str:
    if git("rev-parse", "--is-shallow-repository") != "true":
        return ""
    return "; this clone is shallow: git fetch --unshallow (in CI, a full fetch depth)"


def git(*arguments: str) -> str:
    """What git prints, without the end of the line.

    Raises:
        InputError: git fails.
    """
    done = _run(*arguments)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        raise InputError(f"git {arguments[0]}: {said}")
    return done.stdout.decode(errors="replace").strip()


def _run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Runs git, which then takes no commit for another one (`git replace`)."""
    environment = os.environ | {"LC_ALL": "C", "GIT_NO_REPLACE_OBJECTS": "1"}
    try:
        return subprocess.run(  # noqa: S603  # no shell, and names follow --end-of-options
            ("git", *arguments),  # noqa: S607  # the user's git
            capture_output=True,
            check=False,
            env=environment,
        )
    except FileNotFoundError as error:
        raise InputError("git: no such program; the baseline is read with it") from error

"""Checks that the committed results come out again, from the raw data and without any cache.

Runs the pipeline in a clone of HEAD and compares its outputs byte by byte with what dvc.lock says.
It also hashes DVC's cache again: DVC trusts a damaged file there as long as it is read-only. Exit
code 0 if everything is the same, 4 if not.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline import paths
from pipeline.errors import InputError, IntegrityError
from pipeline.gate import results
from pipeline.gate.freshness import check_lock
from pipeline.lock import Lock, md5, read_lock
from pipeline.params import load
from pipeline.program import NO_COMPILE_CACHE, Parser, run
from pipeline.records import Predictions, read_file, read_json
from pipeline.repository import DVC, Source, dvc, find_commit, git

SAME_ENOUGH = 5 / 10_000  # share of the predictions that may differ on another processor
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")

Read = Callable[[Path], bytes]


def verify() -> None:
    """Compares HEAD with a new run of it, and DVC's cache with HEAD.

    Raises:
        InputError: HEAD has no results, or stale ones, or a stage fails.
        IntegrityError: something is not as in HEAD.
    """
    head = find_commit("HEAD")
    committed = Source("HEAD", "run dvc repro, then commit dvc.lock and metrics", head.read)
    check_lock(committed, head.files())
    results.check_metrics(committed)
    whole, damaged = rehash(read_lock(head.read), Path(dvc("cache", "dir").strip()))
    print(f"cache: {whole} files have the digests in dvc.lock, {len(damaged)} are damaged")
    if damaged:
        lines = [f"{path}: damaged in the cache; rm -f {file}" for path, file in damaged.items()]
        raise IntegrityError("\n".join([*lines, "then dvc repro --force makes them again"]))
    with tempfile.TemporaryDirectory() as temporary:
        project = rerun(Path(temporary, "clone"))
        made = Source("the new run", "see above", lambda path: read_file(project / path))
        for line in compare(committed, made):
            print(line)


def rehash(lock: Lock, cache: Path) -> tuple[int, dict[str, Path]]:
    """Computes the MD5 of every file in `cache` that an output in `lock` consists of.

    Returns:
        How many are whole, and where the damaged ones are, by the path of the output.
    """
    whole, damaged = 0, {}
    for output, digest in lock.outputs.items():
        for path, expected, file in _cached(output, digest, cache):
            if md5(file.read_bytes()) == expected:
                whole += 1
            else:
                damaged[path] = file
    return whole, damaged


def _cached(path: str, digest: str, cache: Path) -> Iterator[tuple[str, str, Path]]:
    """Each file of an output that is in the cache: its path, its MD5, where the cache has it."""

    def place(digest: str) -> Path:
        return cache / "files/md5" / digest[:2] / digest[2:]

    file, own = place(digest), digest.removesuffix(".dir")
    if not file.is_file():
        return
    yield path, own, file
    if digest != own and md5(file.read_bytes()) == own:  # a list of the files in a folder
        for member in json.loads(file.read_bytes()):
            if place(member["md5"]).is_file():
                yield f"{path}/{member['relpath']}", member["md5"], place(member["md5"])


def rerun(clone: Path) -> Path:
    """Clones HEAD and runs everything from the raw data, without any cache.

    Returns:
        The folder of the project in the clone.

    Raises:
        InputError: a stage fails; it has said why.
    """
    git("clone", "--quiet", git("rev-parse", "--show-toplevel"), str(clone))
    project = clone / git("rev-parse", "--show-prefix")  # it may be a folder of a larger repository
    dvc("cache", "dir", "--local", ".dvc/cache", folder=project)
    _copy_data(project)
    (project / paths.PROVENANCE).unlink(missing_ok=True)  # train keeps it if the model is the same
    environment = os.environ | {NO_COMPILE_CACHE: "1"}
    mirror = environment.get("DATASET_MIRROR", "")
    if mirror and Path(mirror).is_dir():  # a relative path would lead elsewhere from the clone
        environment["DATASET_MIRROR"] = str(Path(mirror).resolve())
    command = (*DVC, "repro", "--force")
    done = subprocess.run(command, cwd=project, env=environment, check=False)  # noqa: S603
    if done.returncode:
        raise InputError("the run in the clone failed, so nothing can be said; see above")
    return project


def _copy_data(project: Path) -> None:
    """Copies the dataset into a clone, if git does not track it."""
    location = paths.SOURCES / load(project / paths.PARAMS).dataset.name
    target = project / location
    if location.is_dir() and not target.exists():
        shutil.copytree(location, target)
    elif location.is_file() and not target.exists():
        shutil.copy2(location, target)


def compare(committed: Source, made: Source) -> list[str]:
    """What to report of a new run that is accepted.

    Raises:
        IntegrityError: it is not.
    """
    before, after = read_lock(committed.read).outputs, read_lock(made.read).outputs
    different = sorted(path for path in before | after if before.get(path) != after.get(path))
    if not different:
        if committed.read(paths.LOCK) != made.read(paths.LOCK):
            raise IntegrityError(
                "dvc.lock is not that of this code and these parameters, though all outputs are "
                "the same: run dvc repro, then commit dvc.lock"
            )
        return [f"the same to the bit: dvc.lock, and with it {len(after)} outputs"]
    theirs, ours = _processor(committed.read, before), _processor(made.read, after)
    predictions = results.load(committed).predictions, results.load(made).predictions
    changed, count = _changed(*predictions), len(predictions[0].labels)
    lines = [
        *(f"{path}: the same to the bit" for path in sorted(before) if path not in different),
        *(f"{path}: differs{_distance(path, committed.read, made.read)}" for path in different),
        f"{changed:,} of {count:,} predicted classes differ",
        f"committed: made on {theirs or 'an unknown processor'}",
        f"here: made on {ours or 'an unknown processor'}",
    ]
    if theirs not in (None, ours) and changed <= SAME_ENOUGH * count:
        reason = f"on another processor, up to {SAME_ENOUGH:.2%} of the predictions may differ"
    elif str(paths.MODEL) not in different and not changed:
        reason = "the model and all predicted classes are the same"  # it may be scored elsewhere
    else:
        raise IntegrityError("\n".join(lines))
    return [*lines, f"accepted: {reason}"]


def _processor(read: Read, outputs: dict[str, str]) -> str | None:
    """The processor that made the model among `outputs`, None if that is not on record."""
    provenance = read_json(read(paths.PROVENANCE), str(paths.PROVENANCE))
    made_this = provenance["model_md5"] == outputs.get(str(paths.MODEL))
    return str(provenance["processor"]) if made_this else None


def _changed(before: Predictions, after: Predictions) -> int:
    """How many predictions differ: all of them if the images do."""
    if not np.array_equal(before.labels, after.labels):
        return len(before.labels)
    return int((before.predicted != after.predicted).sum())


def _distance(path: str, before: Read, after: Read) -> str:
    """How far apart the numbers in a table or JSON file are, as an addition to a line."""
    if Path(path).suffix not in (".csv", ".json"):
        return ""
    first, second = (NUMBER.findall(read(Path(path))) for read in (before, after))
    if len(first) != len(second):
        return ""
    distance = np.abs(np.array(first, dtype=float) - np.array(second, dtype=float)).max(initial=0)
    return f", its numbers by at most {distance:.1g}"


def main(_options: argparse.Namespace) -> None:
    """Verifies HEAD."""
    verify()


if __name__ == "__main__":
    run(Parser("pipeline.verify", __doc__), main)

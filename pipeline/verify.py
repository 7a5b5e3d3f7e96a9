"""Do the committed results come out again? Run from the raw data, in a clone, without any cache.

`python -m pipeline.verify` compares what HEAD's dvc.lock says with what a new run makes, byte by
byte, and what lies in DVC's cache with what dvc.lock says of it: DVC takes a damaged file in there
for whole as long as it is read-only. Exit code 0 if all is the same, 4 if not.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from pipeline import paths, revision
from pipeline.errors import InputError, IntegrityError, PipelineError
from pipeline.results import Read, digest, outputs, stages

SAME_ENOUGH = 5 / 10_000  # of the predictions may differ, where another processor made them


def verify() -> None:
    """Holds HEAD against a new run of it, and DVC's cache against HEAD.

    Raises:
        InputError: HEAD has no results, or a stage fails.
        IntegrityError: something is not what HEAD says.
    """
    head = revision.find("HEAD")
    cache = Path(_run("dvc", "cache", "dir").strip())
    hashed, damaged = rehash(outputs(stages(head.read)), cache)
    print(f"{hashed} files in the cache are what dvc.lock says, {len(damaged)} are not", flush=True)
    if damaged:
        lines = [f"{path}: damaged in the cache; rm -f {file}" for path, file in damaged.items()]
        raise IntegrityError("\n".join([*lines, "then dvc repro --force makes them again"]))
    with tempfile.TemporaryDirectory() as temporary:
        clone = Path(temporary, "clone")
        rerun(clone)
        for line in compare(head.read, lambda path: (clone / path).read_bytes()):
            print(line)


def rehash(expected: dict[str, str], cache: Path) -> tuple[int, dict[str, Path]]:
    """Computes the MD5 of every file in `cache` that an output consists of.

    Returns:
        How many are whole, and those that are not, by the output's path.
    """
    whole, damaged = 0, {}
    for path, md5 in expected.items():
        for name, member, file in _cached(path, md5, cache):
            if digest(file.read_bytes()) == member:
                whole += 1
            else:
                damaged[name] = file
    return whole, damaged


def _cached(path: str, md5: str, cache: Path) -> Iterator[tuple[str, str, Path]]:
    """Each file of an output that is in the cache: its path, its MD5, where it lies there."""
    file, own = _place(md5, cache), md5.removesuffix(".dir")
    if not file.is_file():
        return
    yield path, own, file
    if md5 != own and digest(file.read_bytes()) == own:  # a list of the files in a folder
        for member in json.loads(file.read_bytes()):
            if _place(member["md5"], cache).is_file():
                yield f"{path}/{member['relpath']}", member["md5"], _place(member["md5"], cache)


def _place(md5: str, cache: Path) -> Path:
    return cache / "files/md5" / md5[:2] / md5[2:]


def rerun(clone: Path) -> None:
    """Clones HEAD, and runs all of it from the raw data, with an empty cache.

    Raises:
        InputError: a stage fails; it has said why.
    """
    _run("git", "clone", "--quiet", ".", str(clone))
    _run("dvc", "cache", "dir", "--local", ".dvc/cache", folder=clone)
    environment = dict(os.environ)
    mirror = environment.get("DATASET_MIRROR", "")
    if mirror and Path(mirror).is_dir():  # a relative path would lead elsewhere from the clone
        environment["DATASET_MIRROR"] = str(Path(mirror).resolve())
    command = (sys.executable, "-m", "dvc", "repro", "--force")
    done = subprocess.run(command, cwd=clone, env=environment, check=False)  # noqa: S603
    if done.returncode:
        raise InputError("the run in the clone failed, so nothing can be said; see above")


def compare(committed: Read, made: Read) -> list[str]:
    """What to say of a new run that may be accepted.

    Args:
        committed: reads the files of HEAD.
        made: reads those of the new run.

    Raises:
        IntegrityError: it may not.
    """
    before, after = (outputs(stages(read)) for read in (committed, made))
    different = sorted(path for path in before | after if before.get(path) != after.get(path))
    if not different:
        if committed(paths.LOCK) != made(paths.LOCK):
            raise IntegrityError(
                "dvc.lock is not that of this code and these parameters, though all outputs are "
                "the same: run dvc repro, then commit dvc.lock"
            )
        return [f"the same to the bit: dvc.lock, and with it {len(after)} outputs"]
    theirs, ours = _processor(committed, before), _processor(made, after)
    changed, count = _changed(committed(paths.PREDICTIONS), made(paths.PREDICTIONS))
    lines = [
        *(f"{path}: not the same" for path in different),
        f"committed: made on {theirs or 'an unknown processor'}",
        f"here: made on {ours or 'an unknown processor'}",
        f"{changed} of {count} predictions differ",
    ]
    if theirs in (None, ours) or changed > SAME_ENOUGH * count:
        raise IntegrityError("\n".join(lines))
    return [*lines, f"accepted: on another processor, up to {SAME_ENOUGH:.2%} of them may"]


def _processor(read: Read, locked: dict[str, str]) -> str | None:
    """Which one made the model among the `locked` outputs; None if that is not on record."""
    provenance = json.loads(read(paths.PROVENANCE))
    made_this = provenance["model_md5"] == locked.get(str(paths.MODEL))
    return str(provenance["processor"]) if made_this else None


def _changed(before: bytes, after: bytes) -> tuple[int, int]:
    """How many predictions differ, and of how many."""
    first, second = (
        [row["predicted"] for row in csv.DictReader(StringIO(content.decode()))]
        for content in (before, after)
    )
    if len(first) != len(second):
        return max(len(first), len(second)), len(first)
    return sum(one != other for one, other in zip(first, second, strict=True)), len(first)


def _run(*command: str, folder: Path = Path()) -> str:
    """What `command` prints.

    Raises:
        InputError: it fails.
    """
    program = (sys.executable, "-m", *command) if command[0] == "dvc" else command
    done = subprocess.run(  # noqa: S603, programs of the user's environment
        program, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"{' '.join(command)}: {' '.join(done.stderr.split())}")
    return done.stdout


if __name__ == "__main__":
    try:
        verify()
    except PipelineError as error:
        print(f"verify: {error}", file=sys.stderr)
        sys.exit(error.exit_code)

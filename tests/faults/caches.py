"""The caches are damaged, or cannot be used: DVC's, and that of compiled programs."""

import errno
import signal
from collections.abc import Callable
from pathlib import Path

from pipeline.lock import md5
from tests.faults.fault import Fault, Prepare, change, nightly, nothing, shell, stage, strike
from tests.support import Workspace


def _cached(workspace: Workspace, path: str) -> Path:
    """Where DVC's cache has a file."""
    digest = md5((workspace.root / path).read_bytes())
    return workspace.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def _damage(workspace: Workspace, path: str) -> None:
    """Flips a bit of a file in the cache, read-only as DVC left it, and brings that back."""
    cached = _cached(workspace, path)
    content = cached.read_bytes()
    cached.chmod(0o644)
    cached.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    cached.chmod(0o444)
    (workspace.root / path).unlink()
    workspace.run("dvc", "checkout")


def _damaged(what: str, path: str, line: str, stage: str) -> Fault:
    # A change of the code of the stage alone makes it run again, on what the cache brought back.
    def prepare(workspace: Workspace) -> None:
        _damage(workspace, path)
        change(f"pipeline/{stage}.py", lambda content: content + b"# a comment\n")(workspace)

    undo = shell(f"rm -r .dvc/cache; rm -f {path}; git checkout --quiet HEAD .")
    # DVC removes the outputs of a stage before it runs it.
    return Fault(what, "dvc repro", 255, line, prepare, undo=undo, incomplete=True)


COMPILED = f"XDG_CACHE_HOME=$PWD/programs {stage('train')}"  # with an own cache of programs
ANEW = "so all programs are compiled anew"


def _compiled(
    what: str,
    line: str,
    prepare: Prepare = nothing,
    *,
    code: int = 0,
    variables: dict[str, str] | None = None,
) -> Fault:
    undo = shell("rm -rf programs")
    return Fault(f"train: {what}", COMPILED, code, line, prepare, variables or {}, undo)


def _program(how: Callable[[bytes], bytes]) -> Prepare:
    """Trains once, which compiles two programs, and changes their bytes."""

    def prepare(workspace: Workspace) -> None:
        shell(COMPILED)(workspace)
        for path in (workspace.root / "programs").glob("*/*/*.pb"):
            path.write_bytes(how(path.read_bytes()))

    return prepare


FAULTS = [
    _compiled(
        "a bit of the compiled programs is flipped",
        "__XLA_CPU_JIT.pb: removed, it is damaged",
        _program(lambda content: content[:-99] + bytes([content[-99] ^ 1]) + content[-98:]),
    ),
    nightly(
        _compiled(
            "the compiled programs are cut off",
            "__XLA_CPU_JIT.pb: removed, it is damaged",
            _program(lambda content: content[: len(content) // 2]),
        )
    ),
    _compiled(
        "the disk is full when a compiled program is written",
        f"TensorFlow failed, {ANEW}",
        variables=strike("write", "xla_compile_cache", error=errno.ENOSPC),
    ),
    nightly(
        _compiled(
            "stopped by SIGKILL when a compiled program is written",
            "",
            code=128 + signal.SIGKILL,
            variables=strike("write", "xla_compile_cache", signal=signal.SIGKILL),
        )
    ),
    nightly(
        _compiled(
            "the disk has no room for compiled programs",
            f"No space left on device; {ANEW}",
            variables=strike("write", "unproven", error=errno.ENOSPC),
        )
    ),
    nightly(
        _compiled(
            "others can write to the cache of compiled programs",
            f"expected a folder that only you can write to; {ANEW}",
            shell("mkdir -p programs/mnist-pipeline; chmod 777 programs/mnist-pipeline"),
        )
    ),
    nightly(
        _compiled(
            "a file is in the place of the cache of compiled programs",
            f"programs/mnist-pipeline: Not a directory; {ANEW}",
            shell("echo text > programs"),
        )
    ),
    _damaged(
        "evaluate: the model is damaged in DVC's cache",
        "models/model.keras",
        "evaluate: models/model.keras: is damaged, its MD5 is not the one in dvc.lock",
        "evaluate",
    ),
    nightly(
        _damaged(
            "evaluate: test images are damaged in DVC's cache",
            "data/processed/test/images.npy",
            "evaluate: data/processed/test: is damaged, its MD5 is not the one in dvc.lock",
            "evaluate",
        )
    ),
    nightly(
        _damaged(
            "train: training images are damaged in DVC's cache",
            "data/processed/train/images.npy",
            "train: data/processed/train: is damaged, its MD5 is not the one in dvc.lock",
            "train",
        )
    ),
    _damaged(
        "preprocess: the list of files is damaged in DVC's cache",
        "data/raw/manifest.csv",
        "preprocess: data/raw: is damaged, its MD5 is not the one in dvc.lock",
        "preprocess",
    ),
    Fault(
        "verify: a file is damaged in DVC's cache",
        "python -m pipeline.verify",
        4,
        "models/model.keras: damaged in the cache; rm -f ",
        lambda workspace: _damage(workspace, "models/model.keras"),
        undo=shell("rm -r models/model.keras .dvc/cache"),
        nightly=True,
    ),
    Fault(
        "dvc repro: the whole cache is gone",
        "dvc repro",
        0,
        "Stage 'evaluate' didn't change, skipping",
        shell("rm -r .dvc/cache"),
        nightly=True,
    ),
]

"""DVC's cache and what it brings back are damaged."""

from pathlib import Path

from pipeline.lock import md5
from tests.faults.fault import Fault, change, nightly, shell
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


FAULTS = [
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

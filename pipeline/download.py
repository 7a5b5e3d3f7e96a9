"""Stage 1: the dataset's files, decompressed and verified, into data/raw."""

from dataclasses import asdict
from pathlib import Path

from pipeline import paths
from pipeline.artifacts import (
    finish_replacing,
    json_bytes,
    link_or_copy,
    remove,
    replacing_folder,
    write_files,
)
from pipeline.data import mirrors
from pipeline.data.datasets import Dataset, File, find, verified
from pipeline.data.mirrors import Patience
from pipeline.errors import IntegrityError, NetworkError
from pipeline.params import Params
from pipeline.program import run_stage

OFFLINE = "offline? set DATASET_MIRROR to a folder that has the files, as .gz or plain"


def download(
    dataset: Dataset,
    sources: list[str],
    *,
    raw: Path,
    store: Path,
    metrics: Path,
    patience: Patience | None = None,
) -> None:
    """Puts the files of `dataset` into `raw`, all or none, and describes them in `metrics`.

    Args:
        dataset: what to fetch.
        sources: folders or URLs that have its files, plain or as `.gz`; tried in this order.
        raw: the folder to make. What it held is replaced, unless it holds these files already.
        store: the folder that keeps every verified file by its SHA-256, so that none is fetched
            twice: DVC removes `raw` whenever the code or the dataset changes.
        metrics: the JSON file to write.
        patience: how long to wait.

    Raises:
        InputError: a source is neither a folder nor an http or https URL.
        NetworkError: no source served a file.
        IntegrityError: none served the right bytes, and at least one served wrong ones.
    """
    for source in sources:
        mirrors.check(source)
    finish_replacing(raw)
    if all(verified(raw / file.name, file) for file in dataset.files):
        print(f"{dataset.name}: its {len(dataset.files)} files are in {raw} already, verified")
    else:
        with replacing_folder(raw) as folder:
            for file in dataset.files:
                source = _provide(file, sources, store, folder, patience or Patience())
                print(f"{file.name}: {file.size:,} bytes from {source}, verified")
    description = {
        "dataset": dataset.name,
        "bytes": sum(file.size for file in dataset.files),
        "files": [asdict(file) for file in dataset.files],
    }
    write_files({metrics: json_bytes(description)})


def _provide(file: File, sources: list[str], store: Path, folder: Path, patience: Patience) -> str:
    """Puts `file` into `folder` and `store`, and returns where it came from."""
    kept, target = store / file.sha256, folder / file.name
    if verified(kept, file):
        link_or_copy(kept, target)
        return str(store)
    try:
        source = mirrors.fetch(file, sources, target, patience)
    except (NetworkError, IntegrityError) as error:
        raise type(error)(f"{error}\n  {OFFLINE}") from error
    store.mkdir(parents=True, exist_ok=True)
    remove(kept)  # it is damaged
    link_or_copy(target, kept)
    return mirrors.shown(source)


def main(params: Params) -> None:
    """Downloads the dataset that params.yaml names."""
    dataset = find(params.dataset.name)
    download(
        dataset,
        mirrors.mirrors_of(dataset),
        raw=paths.RAW,
        store=paths.DOWNLOADS,
        metrics=paths.DOWNLOAD_METRICS,
    )


if __name__ == "__main__":
    run_stage("download", __doc__, main)

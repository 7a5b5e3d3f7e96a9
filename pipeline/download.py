"""Stage 1: the dataset's files, verified: downloaded or unpacked into data/raw, or listed there."""

import sys
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pipeline import paths
from pipeline.artifacts import (
    finish_replacing,
    json_bytes,
    link_or_copy,
    remove,
    replacing_folder,
    write_files,
)
from pipeline.data import archives, files, mirrors
from pipeline.data.datasets import Dataset, File, find, verified
from pipeline.data.mirrors import Patience
from pipeline.errors import IntegrityError, NetworkError
from pipeline.params import Params
from pipeline.program import run_stage

OFFLINE = "offline? set DATASET_MIRROR to a folder that has the files, as .gz or plain"
LISTED = 20  # files that metrics/download.json lists; of more it says how many there are


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
                size = (folder / file.name).stat().st_size
                print(f"{file.name}: {size:,} bytes from {source}, verified")
            archives.unpack_all(folder, dataset.about.members)
    described = [file.model_dump(exclude_none=True) for file in dataset.files]
    sizes = [file["size"] for file in described if "size" in file]
    _describe(metrics, dataset, bytes=sum(sizes), files=described)


def _provide(file: File, sources: list[str], store: Path, folder: Path, patience: Patience) -> str:
    """Puts `file` into `folder` and `store`, and returns where it came from."""
    kept, target = store / file.digest, folder / file.name
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


def list_local(dataset: Dataset, *, raw: Path, metrics: Path) -> None:
    """Lists the files of `dataset`, which are here, in `raw`/manifest.csv; unpacks an archive.

    Args:
        dataset: what to list. It stays where it is.
        raw: the folder to make.
        metrics: the JSON file to write.

    Raises:
        InputError: there are no data, or something there cannot be used.
        IntegrityError: a file is not what dataset.yaml says.
    """
    for file in dataset.files:
        if not verified(dataset.location / file.name, file):
            raise IntegrityError(
                f"{dataset.location / file.name}: is not the file that {dataset.description} "
                f"names; restore the file, or correct its size and its digest there"
            )
    with replacing_folder(raw) as folder:
        manifest = folder / files.MANIFEST
        with tqdm(
            desc="files", unit="", delay=1, leave=False, disable=not sys.stderr.isatty()
        ) as bar:
            count, total, digest = files.list_files(dataset.location, manifest, bar.update)
        here = files.files_of(dataset.location, folder)
        print(f"{dataset.location}: {count:,} file{'s'[: count != 1]}, {total:,} bytes, listed")
        described = [
            {"name": entry.path, "size": entry.size, "sha256": entry.sha256}
            for entry in islice(here, LISTED + 1)
        ]
        archives.unpack_listed(here, folder, dataset.about.members)
    listed = {"files": described} if len(described) <= LISTED else {}
    _describe(metrics, dataset, bytes=total, file_count=count, sha256=digest, **listed)


def _describe(metrics: Path, dataset: Dataset, **about: Any) -> None:  # noqa: ANN401, JSON
    write_files({metrics: json_bytes({"dataset": dataset.name, **about})})


def provide(dataset: Dataset, *, raw: Path, metrics: Path) -> None:
    """Downloads `dataset`, or lists it where it is here; see `download` and `list_local`."""
    if dataset.mirrors:
        sources = mirrors.mirrors_of(dataset)
        download(dataset, sources, raw=raw, store=paths.DOWNLOADS, metrics=metrics)
    else:
        list_local(dataset, raw=raw, metrics=metrics)


def main(params: Params) -> None:
    """Provides the dataset that params.yaml names."""
    provide(find(params.dataset.name), raw=paths.RAW, metrics=paths.DOWNLOAD_METRICS)


if __name__ == "__main__":
    run_stage("download", __doc__, main)

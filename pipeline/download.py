"""Stage 1: the dataset's files, decompressed and verified, into data/raw."""

import os
from dataclasses import asdict
from pathlib import Path

from pipeline import paths
from pipeline.artifacts import json_bytes, replacing_folder, write_files
from pipeline.data import mirrors
from pipeline.data.datasets import Dataset, find
from pipeline.data.mirrors import Patience
from pipeline.errors import IntegrityError, NetworkError
from pipeline.params import Params
from pipeline.program import run_stage

OFFLINE = "offline? set DATASET_MIRROR to a folder that has the files, as .gz or plain"


def download(
    dataset: Dataset, sources: list[str], raw: Path, metrics: Path, patience: Patience | None = None
) -> None:
    """Puts the files of `dataset` into `raw`, all or none, and describes them in `metrics`.

    Args:
        dataset: what to fetch.
        sources: folders or URLs that have its files, plain or as `.gz`; tried in this order.
        raw: the folder to make. What it held is replaced, unless it holds these files already.
        metrics: the JSON file to write.
        patience: how long to wait.

    Raises:
        InputError: a source is neither a folder nor an http or https URL.
        NetworkError: no source served a file.
        IntegrityError: none served the right bytes, and at least one served wrong ones.
    """
    for source in sources:
        mirrors.check(source)
    if all(mirrors.verified(raw / file.name, file) for file in dataset.files):
        print(f"{dataset.name}: its {len(dataset.files)} files are in {raw} already, verified")
    else:
        _fetch_all(dataset, sources, raw, patience or Patience())
    description = {
        "dataset": dataset.name,
        "bytes": sum(file.size for file in dataset.files),
        "files": [asdict(file) for file in dataset.files],
    }
    write_files({metrics: json_bytes(description)})


def _fetch_all(dataset: Dataset, sources: list[str], raw: Path, patience: Patience) -> None:
    with replacing_folder(raw) as folder:
        for file in dataset.files:
            try:
                source = mirrors.fetch(file, sources, folder / file.name, patience)
            except (NetworkError, IntegrityError) as error:
                raise type(error)(f"{error}\n  {OFFLINE}") from error
            print(f"{file.name}: {file.size:,} bytes from {source}, verified")


def main(params: Params) -> None:
    """Downloads the dataset that params.yaml names."""
    dataset = find(params.dataset.name)
    own = os.environ.get("DATASET_MIRROR")
    sources = [own, *dataset.mirrors] if own else list(dataset.mirrors)
    download(dataset, sources, paths.RAW, paths.DOWNLOAD_METRICS)


if __name__ == "__main__":
    run_stage("download", __doc__, main)

"""Runs docs/lesson.ipynb and writes it with its outputs, without what differs at every run.

What `%%time` prints stays: the lesson is about it. The packages for it come with `make notebook`.
"""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts import write_files
from pipeline.errors import InputError
from pipeline.program import Parser, run

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOK = Path("docs/lesson.ipynb")
DATASET = re.compile(r'(?<=DATASET = )"\w+"')
SECONDS = re.compile(r"^(epoch +\d+/\d+ .*\d)  +[\d.]+ s$", re.MULTILINE)  # of an epoch
TIMEOUT = 1800  # seconds for a cell


def execute(path: Path, dataset: str | None = None) -> "NotebookNode":
    """The notebook at `path` with new outputs.

    Args:
        path: of the notebook; it runs in that folder.
        dataset: what to train on instead of what the notebook names.

    Raises:
        InputError: the packages are missing.
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
    except ImportError as error:
        raise InputError(f"{error.name} is not installed; make notebook installs it") from error
    notebook = nbformat.read(path, as_version=4)
    if dataset:
        for cell in notebook.cells:
            cell.source = DATASET.sub(f'"{dataset}"', cell.source)
    return NotebookClient(
        notebook,
        timeout=TIMEOUT,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()


def encode(notebook: "NotebookNode") -> bytes:
    """The bytes of a notebook, without ids, the versions of its programs, and seconds of epochs."""
    import nbformat

    notebook = nbformat.from_dict(notebook)
    notebook.nbformat_minor = 4  # the last version without ids
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.pop("id", None)
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = SECONDS.sub(r"\1", output.text)
    nbformat.validate(notebook)
    return f"{nbformat.writes(notebook)}\n".encode()


def main(_options: argparse.Namespace) -> None:
    """Runs the notebook and writes it."""
    write_files({NOTEBOOK: encode(execute(NOTEBOOK))})
    print(NOTEBOOK)


if __name__ == "__main__":
    run(Parser("experiments.notebook", __doc__), main)

"""What can go wrong, and the exit code of each kind.

PipelineError
├── InputError      2  the configuration or an input is wrong or missing
├── NetworkError    3  no mirror served a file
├── IntegrityError  4  bytes are not what they claim to be
├── TrainingError   5  training ended without a usable model
├── DiskError       6  the file system refused to read or write
└── BusyError       7  the stage is already running in this folder
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class PipelineError(Exception):
    """A failure that one line explains: what was found, where, what is expected, what to do."""

    exit_code: int


class InputError(PipelineError):
    """The configuration or an input is wrong or missing."""

    exit_code = 2


class NetworkError(PipelineError):
    """No mirror served a file."""

    exit_code = 3


class IntegrityError(PipelineError):
    """Bytes are not what they claim to be."""

    exit_code = 4


class TrainingError(PipelineError):
    """Training ended without a usable model."""

    exit_code = 5


class DiskError(PipelineError):
    """The file system refused to read or write."""

    exit_code = 6


class BusyError(PipelineError):
    """The stage is already running in this folder."""

    exit_code = 7


def listed(names: Iterable[object], most: int = 10) -> str:
    """What a message says of `names`: `most` of them, and how many more there are."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - most:,} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + more


@contextmanager
def advising(remedy: str) -> Iterator[None]:
    """Appends `remedy` to every PipelineError raised in the block.

    Low-level modules state facts; only their caller knows what the user can do about them.
    """
    try:
        yield
    except PipelineError as error:
        raise type(error)(f"{error}; {remedy}") from error

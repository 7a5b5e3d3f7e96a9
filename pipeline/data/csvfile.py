"""CSV files: their delimiter, header and lines, and the columns that have a name.

The delimiter is a comma, a semicolon or a tab; a byte order mark and any line ends are accepted.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import InputError, listed

LABELS = ("label", "labels", "class", "category", "target")
PIXEL = re.compile(r"[a-z_]*\d+([x._]\d+)?")  # a header such as pixel17, 1x3 or 17
DELIMITERS = ",;\t"
FEWEST = 5  # columns of a table of pixels


def named(
    header: list[str], name: str | int | None, usual: Sequence[str], source: str, *, optional: bool
) -> int | None:
    """The column with a name, or with a usual one; None if there is none.

    Args:
        header: the names of the columns.
        name: the one that dataset.yaml says, or None.
        usual: what such columns are called, in lower case.
        source: the file, for messages.
        optional: whether a missing `name` is no mistake.

    Raises:
        InputError: there is no column `name`.
    """
    if name is not None:
        if name in header:
            return header.index(str(name))
        if not optional:
            raise InputError(
                f"{source}: found no column {name!r}, which dataset.yaml names, only "
                f"{listed(header)}"
            )
        return None
    lower = [column.lower() for column in header]
    known = [lower.index(one) for one in usual if one in lower]
    others = [number for number, column in enumerate(lower) if not PIXEL.fullmatch(column)]
    if known or not (others or optional):
        return known[0] if known else None
    return others[0] if len(others) == 1 and len(header) >= FEWEST else None


class FirstRows(NamedTuple):
    """How a CSV file begins."""

    first: list[str]  # the values of the first row
    header: list[str] | None  # the same if it is a header
    delimiter: str


def first_rows(path: Path, source: str) -> FirstRows:
    """How a CSV file begins.

    Raises:
        InputError: there are no rows.
    """
    line = next(lines(path, source), (0, ""))[1]
    if not line:
        raise InputError(f"{source}: is empty, expected a table")
    delimiter = max(DELIMITERS, key=line.count)
    first = [value.strip(' "') for value in line.split(delimiter)]
    numbers = [value for value in first if is_number(value)]
    is_header = len(set(numbers)) == len(numbers) < len(first)  # pixels repeat, names do not
    if is_header and not next(lines(path, source, skip=True), (0, ""))[1]:
        raise InputError(f"{source}: found a header alone, expected rows below it")
    return FirstRows(first, first if is_header else None, delimiter)


def is_number(value: str) -> bool:
    """Whether a value is one."""
    try:
        float(value.strip(' "'))
    except ValueError:
        return False
    return True


def lines(path: Path, source: str, *, skip: bool = False) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, and their numbers from 1; `skip` leaves out the first.

    Raises:
        InputError: the file is not in UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            full = ((number, line.rstrip("\n")) for number, line in enumerate(file, start=1))
            yield from islice(((number, line) for number, line in full if line), skip, None)
    except UnicodeDecodeError as error:
        raise not_text(source, error) from error


def not_text(source: str, error: UnicodeDecodeError) -> InputError:
    """What to say of a file that is not in UTF-8."""
    return InputError(f"{source}: is not text in UTF-8 ({error.reason}); convert it")


def checked_label(label: str, where: str) -> str:
    """`label`.

    Raises:
        InputError: it is missing.
    """
    if not label or label.lower() == "nan":
        raise InputError(f"{where}: found no label, expected one in each row")
    return label

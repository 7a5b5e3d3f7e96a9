"""Sections of a YAML file: mappings with known keys, each value of one type and in its range.

What is wrong in one is told in a line for each mistake: where, what was found, what is expected.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from pipeline.errors import InputError


class Section(BaseModel):
    """A mapping in a YAML file, immutable: no unknown key, no value of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


S = TypeVar("S", bound=Section)


def validate(
    model: type[S],
    content: object,
    source: str,
    *,
    root: type[Section] | None = None,
    location: tuple[str, ...] = (),
) -> S:
    """Checks a section.

    Args:
        model: what it may say.
        content: what it says.
        source: the file, for messages.
        root: all of the file, if `model` is only a section of it.
        location: the keys that lead from `root` to that section.

    Raises:
        InputError: with a line for everything in it that is not allowed.
    """
    if not isinstance(content, dict):
        kind = "nothing" if content is None else f"a {type(content).__name__}"
        sections = all(_is_section(field.annotation) for field in model.model_fields.values())
        raise InputError(
            f"{source}: found {kind}, expected {'sections' if sections else 'keys'}: "
            f"{', '.join(model.model_fields)}"
        )
    try:
        return model.model_validate(content)
    except ValidationError as failure:
        errors = failure.errors()
        unknown = [
            details for details in errors if details["type"] in ("extra_forbidden", "invalid_key")
        ]  # alone: a misspelt key is missing, too
        lines = dict.fromkeys(
            _explain(details, root or model, (*location, *details["loc"]))
            for details in unknown or errors
        )
        raise InputError("\n".join(f"{source}: {line}" for line in lines)) from failure


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to add to a message if `name` is nearly one of the `known` names."""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _explain(details: ErrorDetails, root: type[Section], location: tuple[int | str, ...]) -> str:
    """In one line: where, what was found, what is expected."""
    if details["type"] == "value_error":  # from a validator of a section
        return str(details["ctx"]["error"])
    found = "nothing" if details["type"] == "missing" else _SHORT.repr(details["input"])
    section: type[BaseModel] = root
    parts = list(location)
    key = ""
    while parts:
        name = str(parts.pop(0))
        key = f"{key}.{name}".lstrip(".")
        if name not in section.model_fields:
            known = section.model_fields
            return f"{key}: unknown key, expected only {', '.join(known)}{suggestion(name, known)}"
        field = section.model_fields[name]
        if field.description:
            position = "".join(f"[{part}]" for part in parts if isinstance(part, int))
            return f"{key}{position}: found {found}, expected {field.description}"
        section = cast("type[BaseModel]", field.annotation)
    return f"{key}: found {found}, expected a section: {', '.join(section.model_fields)}"


def _is_section(annotation: Any) -> bool:  # noqa: ANN401, whatever a field is annotated with
    return isinstance(annotation, type) and issubclass(annotation, Section)


class _Short(Repr):
    """A representation that fits into a line, whatever the file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 4
        self.maxstring = self.maxlong = self.maxother = 60

    def repr_int(self, number: int, level: int) -> str:
        try:
            return super().repr_int(number, level)
        except ValueError:  # Python writes no number of more than 4,300 digits
            return "a number of thousands of digits"


_SHORT = _Short()

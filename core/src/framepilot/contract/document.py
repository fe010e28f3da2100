"""The base of every document that crosses a process boundary.

JSON names are camelCase, Python names snake_case; documents are immutable; an unknown field is an
error, because a field that one side sends and the other ignores is a promise that nobody keeps
(`/status`, which promises nothing, is the exception).
`explain` turns pydantic's error list into the sentences that a person acts on.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails


class Document(BaseModel):
    """An immutable document with camelCase JSON names that refuses unknown fields."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        serialize_by_alias=True,
    )


class DocumentError(ValueError):
    """A document that cannot be used: `where` names the document, the message lists every problem with its path."""

    def __init__(self, where: str, problems: Iterable[str]) -> None:
        self.where = where
        self.problems = tuple(problems)
        super().__init__(f"{where}: " + "; ".join(self.problems))


def explain(error: ValidationError) -> tuple[str, ...]:
    """One sentence for each problem that pydantic found, beginning with the path of the field."""
    return tuple(_sentence(problem) for problem in error.errors(include_url=False))


def _sentence(problem: ErrorDetails) -> str:
    path = _path(problem["loc"])
    prefix = f"{path}: " if path else ""
    match problem["type"]:
        case "extra_forbidden":
            return f"{prefix}unknown field; remove it or check its spelling"
        case "missing":
            return f"{prefix}required, and missing"
        case "value_error":
            return f"{prefix}{problem['ctx']['error']}"
        case _:
            return f"{prefix}{problem['msg']}, got {_shown(problem['input'])}"


def _path(location: tuple[str | int, ...]) -> str:
    path = ""
    for part in location:
        # pydantic's word for a key of a map; which one it is stands before it.
        if part == "[key]":
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python prints
        return "a number too long to print"
    return text if len(text) <= 80 else text[:77] + "..."

"""A form of a program that engines read from a file, written by a process of its own.

`python -m <writer> <program.json> <weights.safetensors> <target>` writes it. The writer gives the file its name at the
end, so a half one is never seen; until then what it writes, a file or a folder, has the suffix `PARTIAL` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

PARTIAL: Final = ".partial"
"""The suffix of what is not whole yet."""

UNFIT: Final = 3
"""A writer's exit status for a program that has no such form; the reason is the last line of its standard output."""


@dataclass(frozen=True, slots=True)
class ProgramForm:
    """What it is, and what writing it takes."""

    name: str
    """As messages have it, and, in lower case, the folder of its files."""

    suffix: str

    number: int
    """What the writer writes for a program; another number makes files of earlier ones useless."""

    writer: str
    """A module that is run."""

    limit_s: float
    """The longest that a writer may take."""

    missing: Callable[[], str | None]
    """Why it cannot be written here at all."""

    variant: Callable[[], str] = str
    """What else here a file depends on: one of another variant is useless. A part of a file's name, or empty."""

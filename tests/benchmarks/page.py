"""The pages that benchmarks write: all of one, or what follows a marker, after which nothing is written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.result import Result, markdown


def up_to(marker: str, page: Path) -> str:
    """What is written by hand, and the marker."""
    text, _, _ = page.read_text(encoding="utf-8").partition(marker)
    return f"{text.rstrip()}\n\n{marker}"


def write(page: Path, beginning: str, ran_on: str, results: Sequence[Result]) -> None:
    """The beginning, the line that says where it ran, and what was found."""
    page.write_text(f"{beginning}\n\n{ran_on}\n\n{markdown(results)}", encoding="utf-8")

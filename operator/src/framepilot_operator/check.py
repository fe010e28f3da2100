"""What is wrong with the files of a command line, before anything runs: the same sentences for every command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from framepilot.resources.parse import Resource
from framepilot_operator.cluster.declarations import Declarations, read_declarations
from framepilot_operator.cluster.port import Problem
from framepilot_operator.cluster.registry import Registry, updated


@dataclass(frozen=True, slots=True)
class Checked:
    """What the files declare, with the file of each resource, and every problem of each file and between them."""

    resources: tuple[tuple[Path, Resource], ...]
    problems: tuple[Problem, ...]


def check(files: Sequence[Path]) -> Checked:
    """Read every file and look for problems."""
    found = [_read(file) for file in files]
    resources = tuple((declared.file, resource) for declared in found for resource in declared.resources)
    return Checked(resources, updated(Registry(), found, now=0).problems)


def lines(problems: Sequence[Problem]) -> Iterator[str]:
    """Each problem as a line."""
    return (f"{problem.where}: {problem.message}" for problem in problems)


def _read(file: Path) -> Declarations:
    if not file.exists():
        return Declarations(file, problems=(Problem(str(file), "there is no such file; check the path"),))
    return read_declarations(file)

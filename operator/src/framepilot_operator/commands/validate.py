"""`framepilot validate`: every problem of every file, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from framepilot.resources.parse import Resource
from framepilot.resources.service import InferenceService
from framepilot_operator.check import check, lines


def validate(files: Annotated[list[Path], typer.Argument(help="YAML files, each with one or more resources.")]) -> None:
    """Check files: one line for each problem, and for each resource that is in order."""
    checked = check(files)
    for file, resource in checked.resources:
        typer.echo(f"{file}: {_summary(resource)}: OK")
    for line in lines(checked.problems):
        typer.echo(line, err=True)
    if checked.problems:
        raise typer.Exit(1)


def _summary(resource: Resource) -> str:
    named = f"{resource.kind} {resource.key}"
    if not isinstance(resource, InferenceService):
        return named
    streams, modules = len(resource.spec.streams), len(resource.spec.modules)
    return f"{named} ({streams} stream{'s' * (streams != 1)}, {modules} module{'s' * (modules != 1)})"

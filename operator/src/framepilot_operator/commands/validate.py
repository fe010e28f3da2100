"""`framepilot validate`: every problem of every file, before anything runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from framepilot.resources.parse import Resource
from framepilot.resources.service import InferenceService
from framepilot_operator.check import Checked, check, lines
from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.place import Choice, ContextName, Kubeconfig, Namespace, note


def validate(
    files: Annotated[list[Path], typer.Argument(help="YAML files, each with one or more resources.")],
    server: Annotated[bool, typer.Option("--server", help="Have the API server check them too: a dry run.")] = False,
    namespace: Namespace = None,
    context: ContextName = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check files: one line for each problem, and for each resource that is in order."""
    choice = Choice(namespace, context, kubeconfig)
    if choice != Choice() and not server:
        raise typer.BadParameter("say --server too: files are else checked on this machine alone")
    checked = check(files)
    for file, resource in checked.resources:
        typer.echo(f"{file}: {_summary(resource)}: OK")
    problems = list(lines(checked.problems))
    if server and not problems:
        problems = _refusals(choice, checked)
    for line in problems:
        typer.echo(line, err=True)
    if problems:
        raise typer.Exit(1)


def _summary(resource: Resource) -> str:
    named = f"{resource.kind} {resource.key}"
    if not isinstance(resource, InferenceService):
        return named
    streams, modules = len(resource.spec.streams), len(resource.spec.modules)
    return f"{named} ({streams} stream{'s' * (streams != 1)}, {modules} module{'s' * (modules != 1)})"


def _refusals(choice: Choice, checked: Checked) -> list[str]:
    # The client takes a second to load: only here is it needed.
    from framepilot_operator.commands.context_validate import refusals  # noqa: PLC0415

    try:
        return asyncio.run(refusals(choice, checked.resources, typer.echo, note))
    except ContextError as error:
        return [str(error)]

"""`framepilot set`: change the batch size or model version of one module, where it is declared.

The declaration is the one truth, so nothing is told to whatever runs it. On this machine it is a YAML file, and the
running session sees the edit as it sees one made by hand; on a cluster it is the service in the API server.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from framepilot.resources.quantities import duration_ms
from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.file_set import declared_in, find, rewrite
from framepilot_operator.commands.place import (
    Choice,
    ContextName,
    Kubeconfig,
    Local,
    Namespace,
    Place,
    decided,
    not_in_a_session,
    note,
    qualified,
    sessions,
)
from framepilot_operator.edit import AUTO, Edit, EditError


def set_module(
    service: Annotated[str, typer.Argument(help="Its name, or namespace/name.")],
    module: Annotated[str, typer.Argument(help="The module's name.")],
    batch: Annotated[str | None, typer.Option(help="The batch size, or 'auto'.", metavar="SIZE|auto")] = None,
    model_version: Annotated[str | None, typer.Option(help="The version of the module's model.")] = None,
    file: Annotated[Path | None, typer.Option(help="Edit this file, whatever runs.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="On a cluster: wait until it is in force.")] = True,
    timeout: Annotated[str, typer.Option(help="How long to wait, such as 30s or 5m.")] = "2m",
    namespace: Namespace = None,
    context: ContextName = None,
    kubeconfig: Kubeconfig = None,
    local: Local = None,
) -> None:
    """Change a module's batch size or model version while it runs: in a running `framepilot up` that has the service,
    else in the current context of kubectl."""
    choice = Choice(namespace, context, kubeconfig)
    place = decided(local, choice)
    if file is not None and place is Place.CONTEXT:
        raise typer.BadParameter(
            "is for this machine; leave it out to change a service of a cluster", param_hint="--file"
        )
    wait_s = _seconds(timeout) if wait else None
    try:
        edit = _edit(qualified(service, namespace), module, batch, model_version)
        found = file or _declared_here(edit.service, place)
        if found is None:
            with not_in_a_session(f"has a service '{edit.service}'", place):
                _in_context(choice, edit, wait_s)
            return
        if file is None:
            note(f"a running `framepilot up`: {found}")
        changed = rewrite(found, edit)
    except (EditError, ContextError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    for line in changed or (f"{service} {module}: nothing to change, it is declared like that already",):
        typer.echo(line)


def _seconds(text: str) -> float:
    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from error


def _edit(service: str, module: str, batch: str | None, model_version: str | None) -> Edit:
    if batch is None and model_version is None:
        raise EditError("nothing to set; give --batch, --model-version or both")
    if batch is None or batch == AUTO:
        return Edit(service, module, batch, model_version)
    try:
        return Edit(service, module, int(batch), model_version)
    except ValueError as error:
        raise EditError(f"--batch {batch}: is not a batch size; write a number or '{AUTO}'") from error


def _declared_here(service: str, place: Place | None) -> Path | None:
    """The file to edit; None if the service of a context is meant.

    Raises:
        EditError: only this machine can be meant, and nothing there declares the service.
    """
    if place is Place.CONTEXT:
        return None
    processes = sessions()
    return find(service, processes) if place is Place.SESSION or declared_in(service, processes) else None


def _in_context(choice: Choice, edit: Edit, wait_s: float | None) -> None:
    # The client takes a second to load: only here is it needed.
    from framepilot_operator.commands.context_set import set_in_context  # noqa: PLC0415

    asyncio.run(set_in_context(choice, edit, wait_s, typer.echo, note))

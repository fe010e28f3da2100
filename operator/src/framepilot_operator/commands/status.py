"""`framepilot status`: what the services of a running session, or of a Kubernetes context, are doing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import typer

from framepilot_operator.commands.asked import Asked
from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.place import (
    Choice,
    ContextName,
    Kubeconfig,
    Local,
    Namespace,
    decided,
    not_in_a_session,
    note,
    qualified,
    sessions,
)
from framepilot_operator.commands.service_view import Json
from framepilot_operator.commands.session_services import follow_sessions
from framepilot_operator.commands.status_show import Output, shown


def status(
    service: Annotated[str | None, typer.Argument(help="Its name, or namespace/name; else all.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="A table, or the resources.")] = Output.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and show every change.")] = False,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Those of all namespaces.")] = False,
    namespace: Namespace = None,
    context: ContextName = None,
    kubeconfig: Kubeconfig = None,
    local: Local = None,
) -> None:
    """Show services and what each module runs: those of the running `framepilot up` processes, else those of kubectl's
    current context."""
    if all_namespaces and (namespace is not None or service is not None):
        raise typer.BadParameter("does not go with SERVICE and --namespace", param_hint="--all-namespaces")
    choice = Choice(namespace, context, kubeconfig)
    place = decided(local, choice)
    asked = Asked(None if service is None else qualified(service, namespace), namespace)
    try:
        if asked.here(place):
            asyncio.run(_show(_of_sessions(asked), asked, output, again=watch))
        else:
            with not_in_a_session(asked.what, place):
                _of_context(choice, asked, output, everywhere=all_namespaces, again=watch)
    except ContextError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        # The way to end a watch, and as kubectl says it.
        raise typer.Exit(130) from None


def _of_context(choice: Choice, asked: Asked, output: Output, *, everywhere: bool, again: bool) -> None:
    # The client takes a second to load: only here is it needed.
    from framepilot_operator.commands.context_status import services_in_context  # noqa: PLC0415

    found = services_in_context(choice, asked.service, note, everywhere=everywhere, again=again)
    asyncio.run(_show(found, asked, output, again=again))


async def _of_sessions(asked: Asked) -> AsyncGenerator[dict[str, Json], None]:
    for process in sessions():
        note(f"a running `framepilot up`: {', '.join(str(file) for file in process.files)}")
    async for services in follow_sessions(sessions):
        yield asked.of(services)


async def _show(found: AsyncGenerator[dict[str, Json], None], asked: Asked, output: Output, *, again: bool) -> None:
    with shown(output, one=asked.service is not None, again=again) as show:
        async with aclosing(found):
            async for services in found:
                show(services)
                if not again:
                    return

"""`framepilot explain`: why a service runs with these batch sizes, and what others would do."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, TypeVar

import typer
from pydantic.alias_generators import to_camel

from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.explanation import explained
from framepilot_operator.commands.explanation_text import render
from framepilot_operator.commands.instance_look import Look
from framepilot_operator.commands.place import (
    Choice,
    ContextName,
    Kubeconfig,
    Local,
    Namespace,
    Place,
    decided,
    not_in_a_session,
    qualified,
    sessions,
)
from framepilot_operator.commands.service_view import Json, view
from framepilot_operator.commands.session_instances import look_at_sessions
from framepilot_operator.commands.session_services import read_sessions
from framepilot_operator.commands.status import Asked
from framepilot_operator.commands.status_show import Output, on_screen

T = TypeVar("T")


def explain(
    service: Annotated[str, typer.Argument(help="Its name, or namespace/name.")],
    output: Annotated[Output, typer.Option("--output", "-o", help="For a person, or JSON.")] = Output.TABLE,
    namespace: Namespace = None,
    context: ContextName = None,
    kubeconfig: Kubeconfig = None,
    local: Local = None,
) -> None:
    """Say why a service runs with these batch sizes, what others would do, and what was tried: of a running
    `framepilot up`, else of kubectl's current context."""
    choice = Choice(namespace, context, kubeconfig)
    place = decided(local, choice)
    asked = Asked(qualified(service, namespace), namespace)
    try:
        here = asked.of(read_sessions(sessions())) if place is not Place.CONTEXT else {}
        if here or place is Place.SESSION:
            document, look = asyncio.run(_of_sessions(here, asked))
        else:
            with not_in_a_session(asked.what, place):
                document, look = asyncio.run(_of_context(choice, qualified(service, namespace)))
        _show(document, look, output)
    except ContextError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


async def _of_sessions(found: dict[str, Json], asked: Asked) -> tuple[Json, Look]:
    if not found:
        raise ContextError(f"no running `framepilot up` {asked.what}")
    return next(iter(found.values())), await _first(look_at_sessions(sessions, 0.0))


async def _of_context(choice: Choice, service: str) -> tuple[Json, Look]:
    # The client takes a second to load: only here is it needed.
    from framepilot_operator.commands.context_instances import look_at_context  # noqa: PLC0415
    from framepilot_operator.commands.context_status import services_in_context  # noqa: PLC0415

    found = await _first(services_in_context(choice, service, _note, everywhere=False, again=False))
    key, document = next(iter(found.items()))
    where = key.partition("/")[0]
    return document, await _first(look_at_context(choice, where, lambda _: None, everywhere=False, every_s=0.0))


async def _first(found: AsyncGenerator[T, None]) -> T:
    async with aclosing(found):
        async for each in found:
            return each
    raise ContextError("the running `framepilot up` has just ended")


def _show(document: Json, look: Look, output: Output) -> None:
    found = explained(view(document), look.states)
    if output is Output.JSON:
        typer.echo(json.dumps(_camel(dataclasses.asdict(found)), default=lambda condition: condition.model_dump()))
    else:
        with on_screen(again=False) as show:
            show(render(found))


def _camel(found: object) -> object:
    """The names of fields as everywhere in JSON."""
    if isinstance(found, dict):
        return {to_camel(name): _camel(value) for name, value in found.items()}
    return [_camel(each) for each in found] if isinstance(found, list | tuple) else found


def _note(line: str) -> None:
    typer.echo(line, err=True)

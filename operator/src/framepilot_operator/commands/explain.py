"""`framepilot explain`: why a service runs with these batch sizes, and what others would do."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, TypeVar

import typer

from framepilot_operator import prometheus_options
from framepilot_operator.commands.asked import Asked
from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.device_look import looking_at_devices
from framepilot_operator.commands.explanation import Explanation, explained
from framepilot_operator.commands.explanation_text import render
from framepilot_operator.commands.instance_look import DeviceLook, Look
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
from framepilot_operator.commands.service_view import Json, view
from framepilot_operator.commands.session_instances import look_at_sessions
from framepilot_operator.commands.session_services import read_sessions
from framepilot_operator.commands.status_show import Output, as_json, on_screen
from framepilot_operator.telemetry.prometheus_server import PrometheusServer

T = TypeVar("T")


def explain(
    service: Annotated[str, typer.Argument(help="Its name, or namespace/name.")],
    output: Annotated[Output, typer.Option("--output", "-o", help="For a person, or JSON.")] = Output.TABLE,
    namespace: Namespace = None,
    context: ContextName = None,
    kubeconfig: Kubeconfig = None,
    local: Local = None,
    prometheus: prometheus_options.Url = None,
    prometheus_token_file: prometheus_options.TokenFile = None,
    prometheus_ca_file: prometheus_options.CaFile = None,
) -> None:
    """Say why a service runs with these batch sizes, what others would do, and what was tried: of a running
    `framepilot up`, else of kubectl's current context."""
    server = prometheus_options.server(prometheus, prometheus_token_file, prometheus_ca_file)
    choice = Choice(namespace, context, kubeconfig)
    place = decided(local, choice)
    asked = Asked(qualified(service, namespace), namespace)
    try:
        if here := asked.here(place):
            document, look = next(iter(here.values())), asyncio.run(first(look_at_sessions(sessions, 0.0)))
            declared = read_sessions(sessions())
        else:
            with not_in_a_session(asked.what, place):
                document, declared, look = asyncio.run(_of_context(choice, qualified(service, namespace)))
        devices = asyncio.run(_devices(look, server))
        if devices.silence is not None:
            note(f"Prometheus: {devices.silence}")
        _show(explained(view(document), look.states, devices.views, declared), output)
    except ContextError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


async def _of_context(choice: Choice, service: str) -> tuple[Json, dict[str, Json], Look]:
    """The service, all of its namespace, as those of one instance are of one, and a look at the instances there."""
    # The client takes a second to load: only here is it needed.
    from framepilot_operator.commands.context_instances import look_at_context  # noqa: PLC0415
    from framepilot_operator.commands.context_status import services_in_context  # noqa: PLC0415

    found = await first(services_in_context(choice, service, note, everywhere=False, again=False))
    key, document = next(iter(found.items()))
    where = key.partition("/")[0]
    there = dataclasses.replace(choice, namespace=where)
    declared = await first(services_in_context(there, None, _silent, everywhere=False, again=False))
    look = await first(look_at_context(choice, where, _silent, everywhere=False, every_s=0.0))
    return document, declared, look


def _silent(_: str) -> None:
    """The place was named already."""


async def _devices(look: Look, server: PrometheusServer | None) -> DeviceLook:
    async with looking_at_devices(server) as look_at_devices:
        return await look_at_devices(look)


async def first(found: AsyncGenerator[T, None]) -> T:
    """What is found first.

    Raises:
        ContextError: nothing is, as there is no session any more.
    """
    async with aclosing(found):
        async for each in found:
            return each
    raise ContextError("the running `framepilot up` has just ended")


def _show(found: Explanation, output: Output) -> None:
    if output is Output.JSON:
        typer.echo(as_json(dataclasses.asdict(found)))
    else:
        with on_screen(again=False) as show:
            show(render(found))

"""`framepilot top`: how the devices of instances are used, and what each module and stream gets done in a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from framepilot_operator import prometheus_options
from framepilot_operator.commands.asked import Asked
from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.device_look import looking_at_devices
from framepilot_operator.commands.instance_look import Look, Usage, usage
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
from framepilot_operator.commands.session_instances import look_at_sessions
from framepilot_operator.commands.status_show import Output, on_screen
from framepilot_operator.commands.top_table import render
from framepilot_operator.telemetry.prometheus_server import PrometheusServer

EVERY_S: Final = 2.0
"""Between two looks: as long as it takes to see a rate."""

_Show = Callable[[Usage], None]


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to be shown, which Prometheus is asked of it, and how; `again`: look after look."""

    asked: Asked
    server: PrometheusServer | None
    output: Output
    again: bool


def top(
    service: Annotated[str | None, typer.Argument(help="Its name, or namespace/name; else all.")] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="Tables, or a line of JSON.")] = Output.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, with a look every two seconds.")] = False,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Those of all namespaces.")] = False,
    namespace: Namespace = None,
    context: ContextName = None,
    kubeconfig: Kubeconfig = None,
    local: Local = None,
    prometheus: prometheus_options.Url = None,
    prometheus_token_file: prometheus_options.TokenFile = None,
    prometheus_ca_file: prometheus_options.CaFile = None,
) -> None:
    """Show how devices are used, and what modules and streams get done: of the running `framepilot up` processes, else
    of kubectl's current context."""
    if all_namespaces and (namespace is not None or service is not None):
        raise typer.BadParameter("does not go with SERVICE and --namespace", param_hint="--all-namespaces")
    server = prometheus_options.server(prometheus, prometheus_token_file, prometheus_ca_file)
    choice = Choice(namespace, context, kubeconfig)
    place = decided(local, choice)
    asked = Asked(None if service is None else qualified(service, namespace), namespace)
    try:
        if asked.here(place):
            asyncio.run(_show(look_at_sessions(sessions, EVERY_S), _Wish(asked, server, output, again=watch)))
        else:
            with not_in_a_session(asked.what, place):
                _of_context(choice, _Wish(asked, server, output, again=watch), everywhere=all_namespaces)
    except ContextError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _of_context(choice: Choice, wish: _Wish, *, everywhere: bool) -> None:
    # The client takes a second to load: only here is it needed.
    from framepilot_operator.commands.context_instances import look_at_context  # noqa: PLC0415

    asked = wish.asked
    where = asked.service.partition("/")[0] if asked.service and "/" in asked.service else asked.namespace
    looks = look_at_context(choice, where, note, everywhere=everywhere, every_s=EVERY_S)
    asyncio.run(_show(looks, wish))


async def _show(looks: AsyncGenerator[Look, None], wish: _Wish) -> None:
    """Show what each look and the one before it say; once: after the second."""
    before: Look | None = None
    last: Usage | None = None
    with _shown(wish.output, again=wish.again) as show:
        async with aclosing(looks), looking_at_devices(wish.server) as look_at_devices:
            async for look in looks:
                devices = await look_at_devices(look)
                last = usage(before, look, wish.asked.means, devices)
                if wish.again:
                    show(last)
                elif before is not None:
                    break
                before = look
        if not wish.again and last is not None:
            show(last)


@contextmanager
def _shown(output: Output, *, again: bool) -> Iterator[_Show]:
    if output is Output.JSON:
        yield lambda found: typer.echo(found.model_dump_json())
    else:
        with on_screen(again=again) as show:
            yield lambda found: show(render(found))

"""`framepilot runtime`: `explain` says what the services of a runtime share, and what that saves."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Annotated

import typer

from framepilot_operator.cluster.local import folder_name
from framepilot_operator.commands.context_error import ContextError, listed
from framepilot_operator.commands.explain import first
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
    note,
    qualified,
    sessions,
)
from framepilot_operator.commands.runtime_explanation import RuntimeExplanation, heard, reported
from framepilot_operator.commands.runtime_explanation_text import render
from framepilot_operator.commands.runtime_view import RuntimeView
from framepilot_operator.commands.service_view import Json, read_as
from framepilot_operator.commands.session_instances import look_at_sessions
from framepilot_operator.commands.session_services import read_runtimes
from framepilot_operator.commands.status_show import Output, as_json, on_screen
from framepilot_operator.manifests.owner import Owner

IsOf = Callable[[Owner, str], bool]
"""Whether an instance of this name is this owner's."""

app = typer.Typer(help="Instances that services share.", no_args_is_help=True)


@app.command()
def explain(
    runtime: Annotated[str, typer.Argument(help="Its name, or namespace/name.")],
    output: Annotated[Output, typer.Option("--output", "-o", help="For a person, or JSON.")] = Output.TABLE,
    namespace: Namespace = None,
    context: ContextName = None,
    kubeconfig: Kubeconfig = None,
    local: Local = None,
) -> None:
    """Say what the services of a runtime share, what that saves, and why it is not more: of a running `framepilot up`,
    else of kubectl's current context."""
    choice = Choice(namespace, context, kubeconfig)
    place = decided(local, choice)
    try:
        found = _found(choice, place, qualified(runtime, namespace))
    except ContextError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if output is Output.JSON:
        typer.echo(as_json(dataclasses.asdict(found)))
    else:
        with on_screen(again=False) as show:
            show(render(found))


def _found(choice: Choice, place: Place | None, name: str) -> RuntimeExplanation:
    declared = read_runtimes(sessions()) if place is not Place.CONTEXT else {}
    key = name if "/" in name else f"default/{name}"
    if key in declared:
        return asyncio.run(_of_sessions(declared[key]))
    what = f"has a runtime '{name}'" + (f" (there are: {listed([*declared], key)})" if declared else "")
    if place is Place.SESSION:
        raise ContextError(f"no running `framepilot up` {what}")
    with not_in_a_session(what, place):
        return asyncio.run(_of_context(choice, name))


async def _of_sessions(document: Json) -> RuntimeExplanation:
    look = await first(look_at_sessions(sessions, 0.0))
    return _explained(document, look, lambda owner, name: name == folder_name(owner))


async def _of_context(choice: Choice, name: str) -> RuntimeExplanation:
    # The client takes a second to load: only here is it needed.
    from framepilot_operator.commands.context_instances import look_at_context, pod_of  # noqa: PLC0415
    from framepilot_operator.commands.context_runtimes import runtime_in_context  # noqa: PLC0415

    where, document = await runtime_in_context(choice, name, note)
    look = await first(look_at_context(choice, where, lambda _: None, everywhere=False, every_s=0.0))
    return _explained(document, look, pod_of)


def _explained(document: Json, look: Look, is_of: IsOf) -> RuntimeExplanation:
    runtime = read_as(RuntimeView, "runtime", document)
    for instance, state in sorted(look.states.items()):
        if state.instance_uid is not None and state.instance_uid == runtime.metadata.uid:
            return heard(runtime, instance, state)
    owner = Owner.runtime(runtime.key)
    silence = next((why for name, why in sorted(look.silent.items()) if is_of(owner, name)), None)
    return reported(runtime, silence, time.time())

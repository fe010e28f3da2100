"""Changes a module of a service in a Kubernetes context, and waits until the change is in force.

The service is read, patched only if nobody changed it in between, and read again if somebody did. What became of the
change is read from the service's status, as the operator reports it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from framepilot_operator.commands.context import Context, connected
from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.context_resources import ContextResources
from framepilot_operator.commands.in_force import Outcome, Verdict, judge
from framepilot_operator.commands.module_patch import module_patch
from framepilot_operator.commands.place import Choice
from framepilot_operator.commands.service_view import ServiceView, view
from framepilot_operator.edit import Edit

ATTEMPTS: Final = 10

Say = Callable[[str], None]


async def set_in_context(choice: Choice, edit: Edit, wait_s: float | None, say: Say, note: Say) -> None:
    """Make the edit; `wait_s` is how long to wait for it, None: not at all. What it did is said, what goes on is noted.

    Raises:
        ContextError: it was not made, or it did not come into force.
        EditError: there is no such module.
    """
    async with connected(choice) as (context, client):
        note(str(context))
        services = ContextResources(context, client)
        key = _key(edit.service, context)
        edit = replace(edit, service=key)
        service, changed = await _change(services, edit)
        for line in changed or (f"{key} {edit.module}: nothing to change, it is declared like that already",):
            say(line)
        if wait_s is not None:
            await _wait(services, service, edit, wait_s, say, note)


def _key(service: str, context: Context) -> str:
    return service if "/" in service else f"{context.namespace}/{service}"


async def _change(services: ContextResources, edit: Edit) -> tuple[ServiceView, tuple[str, ...]]:
    namespace, _, name = edit.service.partition("/")
    for _ in range(ATTEMPTS):
        service = view(await services.read(namespace, name))
        patch = module_patch(service, edit)
        if not patch.changed:
            return service, ()
        try:
            return await services.patch(namespace, name, patch.operations), patch.changed
        except ContextError as error:
            if not await _outdated(services, service, error):
                raise ContextError(f"{edit.service} {edit.module}: not changed: {error}", error.status) from error
    raise ContextError(f"{edit.service}: not changed: others changed it {ATTEMPTS} times meanwhile; try again")


async def _outdated(services: ContextResources, service: ServiceView, refusal: ContextError) -> bool:
    """Whether a patch was refused because the service is not as it was read."""
    if refusal.status == 422:
        # The test of the module's name failed, or what was asked for is invalid: both are answered alike.
        now = view(await services.read(service.metadata.namespace, service.metadata.name))
        return now.metadata.generation != service.metadata.generation
    return refusal.status == 409


async def _wait(
    services: ContextResources, service: ServiceView, edit: Edit, wait_s: float, say: Say, note: Say
) -> None:
    started_at = time.monotonic()
    last = Verdict(Outcome.WAITING, "")

    async def until_decided() -> Verdict:
        nonlocal last
        async with aclosing(services.follow(service.metadata.namespace, service.metadata.name)) as looks:
            async for found in looks:
                if service.key not in found:
                    return Verdict(Outcome.REPLACED, "the service was deleted")
                before, last = last, judge(view(found[service.key]), edit)
                if last.outcome is not Outcome.WAITING:
                    break
                if last != before:
                    note(f"waiting: {last.sentence}")
        return last

    try:
        verdict = await asyncio.wait_for(until_decided(), wait_s)
    except TimeoutError as error:
        raise ContextError(
            f"{edit.service} {edit.module}: not in force after {wait_s:g} s, and still declared: {last.sentence}"
        ) from error
    sentence = f"{verdict.outcome.value} after {time.monotonic() - started_at:.1f} s: {verdict.sentence}"
    if verdict.outcome is not Outcome.IN_FORCE:
        raise ContextError(f"{edit.service} {edit.module}: {sentence}")
    say(f"{edit.service} {edit.module}: {sentence}")

"""The services of a Kubernetes context, once or at every change."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from framepilot_operator.commands.context import connected
from framepilot_operator.commands.context_resources import ContextResources
from framepilot_operator.commands.place import Choice
from framepilot_operator.commands.service_view import Json


async def services_in_context(
    choice: Choice, service: str | None, note: Callable[[str], None], *, everywhere: bool, again: bool
) -> AsyncGenerator[dict[str, Json], None]:
    """The services by `<namespace>/<name>`; `service` None: all of a namespace, or with `everywhere` of all of them.

    Raises:
        ContextError: they cannot be read, or there is no such service.
    """
    async with connected(choice) as (context, client):
        services = ContextResources(context, client)
        namespace, _, name = (service or "").rpartition("/")
        where = None if everywhere else namespace or context.namespace
        note(context.within(where))
        if service is not None and where is not None:
            document = await services.read(where, name)
            if not again:
                yield {f"{where}/{name}": document}
                return
        if not again:
            found, _version = await services.read_all(where)
            yield found
            return
        async for found in services.follow(where, name or None):
            yield found

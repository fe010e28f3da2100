"""A runtime of a Kubernetes context."""

from __future__ import annotations

from collections.abc import Callable

from framepilot_operator.commands.context import connected
from framepilot_operator.commands.context_resources import RUNTIMES, ContextResources
from framepilot_operator.commands.place import Choice
from framepilot_operator.commands.service_view import Json


async def runtime_in_context(choice: Choice, runtime: str, note: Callable[[str], None]) -> tuple[str, Json]:
    """The namespace of the runtime `<namespace>/<name>`, or `<name>` in the context's, and the runtime itself.

    Raises:
        ContextError: it cannot be read, or there is no such runtime.
    """
    async with connected(choice) as (context, client):
        namespace, _, name = runtime.rpartition("/")
        where = namespace or context.namespace
        note(context.within(where))
        return where, await ContextResources(context, client, RUNTIMES).read(where, name)

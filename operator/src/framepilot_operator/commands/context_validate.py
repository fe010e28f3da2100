"""Has the API server of a context check resources by its schema, its rules and its admission, without effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from framepilot.resources.parse import Resource
from framepilot_operator.commands.context import connected
from framepilot_operator.commands.context_error import ContextError
from framepilot_operator.commands.context_resources import ContextResources
from framepilot_operator.commands.place import Choice


async def refusals(
    choice: Choice, resources: Iterable[tuple[Path, Resource]], say: Callable[[str], None], note: Callable[[str], None]
) -> list[str]:
    """What the server would refuse, a sentence each; what it takes is said.

    Raises:
        ContextError: there is no such context.
    """
    found: list[str] = []
    async with connected(choice) as (context, client):
        note(str(context))
        services = ContextResources(context, client)
        for file, resource in resources:
            subject = f"{file}: {resource.kind} {resource.metadata.name}"
            declared = "namespace" in resource.metadata.model_fields_set
            namespace = resource.metadata.namespace if declared else context.namespace
            if choice.namespace is not None and choice.namespace != namespace:
                found.append(f"{subject}: is of namespace '{namespace}', and --namespace says '{choice.namespace}'")
                continue
            document = resource.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
            try:
                await services.try_apply(document, resource.kind, namespace, resource.metadata.name)
            except ContextError as error:
                found.extend(f"{subject}: {line}" for line in str(error).splitlines())
            else:
                say(f"{subject}: taken by the API server (dry run, namespace {namespace})")
    return found

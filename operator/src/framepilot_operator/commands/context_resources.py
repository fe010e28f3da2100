"""The resources of a Kubernetes context, as the commands need them: read, patch, try, follow. JSON in, JSON out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Final

import aiohttp
from kubernetes.aio.client.api.custom_objects_api import CustomObjectsApi
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.watch.watch import Watch

from framepilot.resources.crd import DEFINITIONS
from framepilot.resources.meta import GROUP, VERSION
from framepilot.resources.runtime import InferenceRuntime
from framepilot.resources.service import InferenceService
from framepilot_operator.commands.context import Context
from framepilot_operator.commands.context_error import (
    ContextError,
    NotInstalledError,
    Request,
    missing,
    refused,
)
from framepilot_operator.commands.service_view import Json, ServiceView, key_of, view

FIELD_MANAGER: Final = "framepilot-cli"
PLURALS: Final[Mapping[str, str]] = {each.resource.__name__: each.plural for each in DEFINITIONS}
SERVICES: Final = PLURALS[InferenceService.__name__]
RUNTIMES: Final = PLURALS[InferenceRuntime.__name__]
WORDS: Final[Mapping[str, str]] = {SERVICES: "service", RUNTIMES: "runtime"}
TIMEOUT_S: Final = 10.0
WATCH_S: Final = 240
PATIENCE_S: Final = 30.0
RETRY_S: Final = 0.5


class ContextResources:
    """Requests of one command to one context, about services or runtimes. Use it inside one event loop."""

    def __init__(self, context: Context, client: ApiClient, plural: str = SERVICES) -> None:
        self.context = context
        self._plural = plural
        self._api = CustomObjectsApi(client)

    async def read(self, namespace: str, name: str) -> Json:
        """One of them.

        Raises:
            ContextError: it cannot be read; where there is none, it says which there are.
        """
        request = self._api.get_namespaced_custom_object(
            GROUP, VERSION, namespace, self._plural, name, _request_timeout=TIMEOUT_S
        )
        try:
            return await self._answer(Request(self.context.name, "get", self._plural, namespace, name), request)
        except NotInstalledError:
            raise
        except ContextError as error:
            if error.status != 404:
                raise
            raise missing(WORDS[self._plural], namespace, name, await self._known(namespace)) from error

    async def read_all(self, namespace: str | None, name: str | None = None) -> tuple[dict[str, Json], str]:
        """Those of a namespace, or of all, by `<namespace>/<name>`, and the version of the list.

        Raises:
            ContextError: they cannot be read.
        """
        selector = None if name is None else f"metadata.name={name}"
        asked = Request(self.context.name, "list", self._plural, namespace, name)
        if namespace is None:
            request = self._api.list_cluster_custom_object(
                GROUP, VERSION, self._plural, field_selector=selector, _request_timeout=TIMEOUT_S
            )
        else:
            request = self._api.list_namespaced_custom_object(
                GROUP, VERSION, namespace, self._plural, field_selector=selector, _request_timeout=TIMEOUT_S
            )
        found = await self._answer(asked, request)
        items, metadata = found.get("items"), found.get("metadata")
        if not isinstance(items, list) or not isinstance(metadata, dict):
            raise ContextError(f"context {self.context.name}: the answer of {self.context.server} is no list")
        return {key_of(item): item for item in items if isinstance(item, dict)}, str(
            metadata.get("resourceVersion") or ""
        )

    async def patch(self, namespace: str, name: str, operations: Sequence[Json]) -> ServiceView:
        """A JSON patch of a service; the service after it.

        Raises:
            ContextError: nothing was changed.
        """
        request = self._api.patch_namespaced_custom_object(
            *(GROUP, VERSION, namespace, self._plural, name),
            list(operations),
            field_manager=FIELD_MANAGER,
            field_validation="Strict",
            _content_type="application/json-patch+json",
            _request_timeout=TIMEOUT_S,
        )
        return view(await self._answer(Request(self.context.name, "patch", self._plural, namespace, name), request))

    async def try_apply(self, document: Json, kind: str, namespace: str, name: str) -> None:
        """Server-side apply without its effect: schema, rules and admission are asked, unknown fields are refused.

        Raises:
            ContextError: it would not be taken.
        """
        plural = PLURALS[kind]
        request = self._api.patch_namespaced_custom_object(
            *(GROUP, VERSION, namespace, plural, name),
            document,
            dry_run="All",
            field_manager=FIELD_MANAGER,
            field_validation="Strict",
            # Whose fields they are is no question of whether they are right.
            force=True,
            _content_type="application/apply-patch+yaml",
            _request_timeout=TIMEOUT_S,
        )
        await self._asked(Request(self.context.name, "patch", plural, namespace, name), request)

    async def follow(self, namespace: str | None, name: str | None = None) -> AsyncGenerator[dict[str, Json], None]:
        """What there is, by key, and again after every change. A server that is away for a while is
        waited for.

        Raises:
            ContextError: they cannot be read.
        """
        away_since: float | None = None
        while True:
            try:
                found, version = await self.read_all(namespace, name)
                away_since = None
                yield dict(found)
                async with aclosing(self._changes(namespace, name, version)) as changes:
                    async for kind, item in changes:
                        if kind == "DELETED":
                            found.pop(key_of(item), None)
                        else:
                            found[key_of(item)] = item
                        yield dict(found)
            except ContextError as error:
                now = time.monotonic()
                away_since = now if away_since is None else away_since
                if not error.transient or now - away_since > PATIENCE_S:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _changes(
        self, namespace: str | None, name: str | None, version: str
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """What happens after a version of the list, until the server ends the watch."""
        asked = Request(self.context.name, "watch", self._plural, namespace, name)
        options = {
            "field_selector": None if name is None else f"metadata.name={name}",
            "resource_version": version,
            "timeout_seconds": WATCH_S,
            "_request_timeout": WATCH_S + TIMEOUT_S,
        }
        watch = Watch(return_type="object")  # type: ignore[no-untyped-call]
        if namespace is None:
            stream = watch.stream(self._api.list_cluster_custom_object, GROUP, VERSION, self._plural, **options)  # type: ignore[no-untyped-call]
        else:
            listing = self._api.list_namespaced_custom_object
            stream = watch.stream(listing, GROUP, VERSION, namespace, self._plural, **options)  # type: ignore[no-untyped-call]
        try:
            async for event in stream:
                if not isinstance(event, dict):
                    raise refused(asked, 0, str(event))
                yield event["type"], event["raw_object"]
        except (ApiException, aiohttp.ClientError, OSError) as error:
            raise self.context.failed(asked, error) from error
        finally:
            await watch.close()  # type: ignore[no-untyped-call]

    async def _known(self, namespace: str) -> list[str]:
        """Those that there are, as far as they may be listed."""
        for where in (None, namespace):
            with suppress(ContextError):
                found, _ = await self.read_all(where)
                return sorted(found)
        return []

    async def _answer(self, asked: Request, request: Awaitable[object]) -> Json:
        answer = await self._asked(asked, request)
        if not isinstance(answer, dict):
            raise ContextError(f"context {self.context.name}: the answer of {self.context.server} is no object")
        return answer

    async def _asked(self, asked: Request, request: Awaitable[object]) -> object:
        try:
            return await request
        except (ApiException, aiohttp.ClientError, OSError) as error:
            raise self.context.failed(asked, error) from error

"""Writes the status of services and runtimes, and an Event for each change that a person should hear of."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from framepilot.resources.meta import API_VERSION
from framepilot.resources.runtime import InferenceRuntimeStatus
from framepilot.resources.service import InferenceServiceStatus
from framepilot_operator.cluster.kube_api import EVENTS, ApiError, JsonObject, KubeApi
from framepilot_operator.cluster.kube_declared import HeldRuntime, HeldService, invalid_status
from framepilot_operator.cluster.kube_mirror import Mirror
from framepilot_operator.manifests.events import Regarding, condition_events

H = TypeVar("H", HeldService, HeldRuntime)

_log = logging.getLogger(__name__)


class Reporting:
    """Tells people about what they declared; nothing is written when it is what was written last."""

    def __init__(
        self,
        api: KubeApi,
        services: Mirror[HeldService],
        runtimes: Mirror[HeldRuntime],
        reporter: str,
        now: Callable[[], float],
    ) -> None:
        """`reporter` is the operator's own name in Events."""
        self._api = api
        self._services = services
        self._runtimes = runtimes
        self._reporter = reporter
        self._now = now

    async def write_service(self, key: str, status: InferenceServiceStatus) -> None:
        """Publish the status of a service; of one that is gone there is nobody to tell.

        Raises:
            ApiError: it was not published.
        """
        await self._write(self._services, key, status)

    async def write_runtime(self, key: str, status: InferenceRuntimeStatus) -> None:
        """Publish the status of a runtime; the same.

        Raises:
            ApiError: it was not published.
        """
        await self._write(self._runtimes, key, status)

    async def write_problems(self) -> None:
        """Say of each declaration that cannot be used why. The loop does not: for it there is no such thing."""
        for service in [*self._services.objects.values()]:
            await self._write_problem(self._services, service)
        for runtime in [*self._runtimes.objects.values()]:
            await self._write_problem(self._runtimes, runtime)

    async def _write_problem(self, mirror: Mirror[H], held: H) -> None:
        if held.problem is None or held.metadata.ending:
            return
        status = invalid_status(held.status, held.metadata.generation, held.problem, self._now())
        if status == held.status:
            return
        _log.warning("%s cannot be used: %s", held.owner, held.problem)
        try:
            await self._write(mirror, held.metadata.key, status)
        except ApiError as error:
            _log.warning("%s: its status was not written: %s", held.owner, error)

    async def _write(
        self, mirror: Mirror[H], key: str, status: InferenceServiceStatus | InferenceRuntimeStatus
    ) -> None:
        held = mirror.objects.get(key)
        if held is None or held.status == status:
            return
        before, metadata = held.status, held.metadata
        manifest: JsonObject = {
            "apiVersion": API_VERSION,
            "kind": held.owner.kind.value,
            # With the uid: what is known of one is not said of another one of its name.
            "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
            "status": status.model_dump(mode="json", exclude_none=True),
        }
        try:
            mirror.put(await self._api.apply(mirror.kind, manifest, subresource="status"))
        except ApiError as error:
            mirror.changed(metadata.key, None)
            if error.missing or error.conflict:
                return
            raise
        regarding = Regarding(held.owner, metadata.uid)
        for event in condition_events(regarding, before.conditions, status.conditions, self._reporter, self._now()):
            await self._write_event(event)

    async def _write_event(self, event: JsonObject) -> None:
        try:
            await self._api.create(EVENTS, event)
        except ApiError as error:
            # It tells what a condition says as well.
            _log.warning("an Event was not written: %s", error)

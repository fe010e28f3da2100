"""Writes the status of a service, and an Event for each change of a condition that a person should hear of."""

from __future__ import annotations

import logging
from collections.abc import Callable

from framepilot.resources.meta import API_VERSION
from framepilot.resources.service import InferenceServiceStatus
from framepilot_operator.cluster.kube_api import EVENTS, INFERENCE_SERVICES, ApiError, JsonObject, KubeApi
from framepilot_operator.cluster.kube_declared import HeldService, invalid_status
from framepilot_operator.cluster.kube_mirror import Mirror
from framepilot_operator.manifests.events import Regarding, condition_events

_log = logging.getLogger(__name__)


class Reporting:
    """Tells people about services; nothing is written when it is what was written last."""

    def __init__(self, api: KubeApi, services: Mirror[HeldService], reporter: str, now: Callable[[], float]) -> None:
        """`reporter` is the operator's own name in Events."""
        self._api = api
        self._services = services
        self._reporter = reporter
        self._now = now

    async def write(self, service: str, status: InferenceServiceStatus) -> None:
        """Publish the status of a service; of one that is gone there is nobody to tell.

        Raises:
            ApiError: it was not published.
        """
        held = self._services.objects.get(service)
        if held is None or held.status == status:
            return
        metadata = held.metadata
        manifest: JsonObject = {
            "apiVersion": API_VERSION,
            "kind": "InferenceService",
            # With the uid: what is known of one service is not said of another one of its name.
            "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
            "status": status.model_dump(mode="json", exclude_none=True),
        }
        try:
            self._services.put(await self._api.apply(INFERENCE_SERVICES, manifest, subresource="status"))
        except ApiError as error:
            self._services.changed(metadata.key, None)
            if error.missing or error.conflict:
                return
            raise
        regarding = Regarding(metadata.namespace, metadata.name, metadata.uid)
        for event in condition_events(regarding, held.status, status, self._reporter, self._now()):
            await self._write_event(event)

    async def write_problem(self, held: HeldService, problem: str) -> None:
        """Say of a declaration that it cannot be used. The loop does not: for it there is no such service."""
        status = invalid_status(held.status, held.metadata.generation, problem, self._now())
        if status == held.status:
            return
        _log.warning("%s cannot be used: %s", held.metadata.key, problem)
        try:
            await self.write(held.metadata.key, status)
        except ApiError as error:
            _log.warning("%s: its status was not written: %s", held.metadata.key, error)

    async def _write_event(self, event: JsonObject) -> None:
        try:
            await self._api.create(EVENTS, event)
        except ApiError as error:
            # It tells what a condition says as well.
            _log.warning("an Event was not written: %s", error)

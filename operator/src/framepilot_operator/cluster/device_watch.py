"""A cluster whose snapshots have a view of each device: what instances say of it, and what Prometheus does.

Prometheus is asked beside the loop, which takes what was said last and waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Final

from framepilot_operator.cluster.port import Change, Cluster, Instance, Snapshot, Status, Trigger
from framepilot_operator.telemetry.device_view import FRESH_S, Said, device_views
from framepilot_operator.telemetry.prometheus_watch import PrometheusWatch

_log = logging.getLogger(__name__)

INSTANCES: Final = "instances"
PROMETHEUS: Final = "prometheus"


class DeviceWatch:
    """A cluster, with devices in its snapshots. `prometheus` None: there is no such server."""

    def __init__(
        self, cluster: Cluster, prometheus: PrometheusWatch | None, now: Callable[[], float] = time.time
    ) -> None:
        self._cluster = cluster
        self._prometheus = prometheus
        self._now = now

    async def observe(self) -> Snapshot:
        """The cluster's snapshot, with a view of the device of each instance that said something."""
        snapshot = await self._cluster.observe()
        now = self._now()
        said = {
            instance.owner: Said(str(instance.owner), instance.observed.device.use, instance.observed_at)
            for instance in snapshot.instances
            if instance.observed is not None
            and instance.observed.device.use is not None
            and instance.observed_at is not None
        }
        scraped = () if self._prometheus is None else self._prometheus.latest
        views = device_views(list(said.values()), scraped, now)
        return replace(
            snapshot,
            device_views={owner: views[each.instance] for owner, each in said.items()},
            device_sources=self._sources(snapshot, now),
        )

    async def apply(self, change: Change) -> None:
        """Make one change."""
        await self._cluster.apply(change)

    async def report(self, status: Status) -> None:
        """Publish one status."""
        await self._cluster.report(status)

    async def triggers(self) -> AsyncIterator[Trigger]:
        """The cluster's triggers; Prometheus is asked as long as somebody takes them."""
        asking = None if self._prometheus is None else asyncio.create_task(self._prometheus.run())
        if asking is not None:
            asking.add_done_callback(_ended)
        try:
            async for trigger in self._cluster.triggers():
                yield trigger
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

    def _sources(self, snapshot: Snapshot, now: float) -> Mapping[str, str | None]:
        sources: dict[str, str | None] = {}
        running = [instance for instance in snapshot.instances if instance.running]
        if running:
            silent = [str(each.owner) for each in running if _silent(each, now)]
            sources[INSTANCES] = f"nothing was heard of late of {', '.join(silent)}" if silent else None
        if self._prometheus is not None:
            sources[PROMETHEUS] = self._prometheus.silence
        return sources


def _ended(asking: asyncio.Task[None]) -> None:
    error = None if asking.cancelled() else asking.exception()
    if error is not None:
        _log.error("Prometheus is asked no more; start the operator again: %s: %s", type(error).__name__, error)


def _silent(instance: Instance, now: float) -> bool:
    return instance.observed_at is None or now - instance.observed_at > FRESH_S

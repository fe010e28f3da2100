"""A cluster whose passes are counted: the loop's view of it is unchanged, and the loop knows nothing of metrics.

A pass begins when the loop observes. It ends when the loop first lets go: when the event loop turns after the decision,
or after the last change or report that followed. That it has ended is known only when the next one begins.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from framepilot.resources.meta import ConditionStatus
from framepilot_operator.cluster.port import (
    Change,
    Cluster,
    ClusterError,
    DeclaredService,
    RemoveInstance,
    RemoveRuntime,
    Snapshot,
    Status,
    Trigger,
    WriteDesired,
    WriteProfile,
    WriteRuntime,
)
from framepilot_operator.kubernetes.metrics import Metrics

KINDS: Final[dict[type[Change], str]] = {
    WriteDesired: "write_desired",
    RemoveInstance: "remove_instance",
    WriteProfile: "write_profile",
    WriteRuntime: "write_runtime",
    RemoveRuntime: "remove_runtime",
}


class Measured:
    """A cluster, and when the loop last looked at it.

    `looked_at` is when it was last observed, or could not be; `seen_at` when that succeeded: both of `clock`.
    """

    def __init__(
        self,
        cluster: Cluster,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.looked_at = clock()
        self.seen_at: float | None = None
        self._cluster = cluster
        self._metrics = metrics
        self._clock = clock
        self._now = now
        self._pass: tuple[float, float] | None = None

    async def observe(self) -> Snapshot:
        """The cluster's snapshot; a pass begins."""
        self._end_pass()
        began = self._clock()
        self._metrics.passes.inc()
        try:
            snapshot = await self._cluster.observe()
        except ClusterError:
            self._metrics.failures.inc()
            raise
        else:
            self.seen_at = self._clock()
            self._metrics.latest.set(self._now())
            self._count(snapshot)
        finally:
            self.looked_at = self._clock()
        self._pass = (began, self.looked_at)
        # Deciding takes no turn of the event loop: the next turn comes when it is done.
        asyncio.get_running_loop().call_soon(self._touch)
        return snapshot

    async def apply(self, change: Change) -> None:
        """Make one change."""
        kind = KINDS[type(change)]
        with self._touching():
            try:
                await self._cluster.apply(change)
            except ClusterError:
                self._metrics.change_failures.labels(kind).inc()
                raise
            self._metrics.changes.labels(kind).inc()

    async def report(self, status: Status) -> None:
        """Publish one status."""
        with self._touching():
            await self._cluster.report(status)

    def triggers(self) -> AsyncIterator[Trigger]:
        """The cluster's triggers."""
        return self._cluster.triggers()

    @contextmanager
    def _touching(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._touch()

    def _touch(self) -> None:
        if self._pass is not None:
            self._pass = (self._pass[0], self._clock())

    def _end_pass(self) -> None:
        if self._pass is not None:
            began, ended = self._pass
            self._metrics.duration.observe(ended - began)
            self._pass = None

    def _count(self, snapshot: Snapshot) -> None:
        ready = Counter(_ready(service) for service in snapshot.services)
        for status in ConditionStatus:
            self._metrics.services.labels(status.value).set(ready[status])
        running = Counter(instance.running for instance in snapshot.instances)
        for state in (True, False):
            self._metrics.instances.labels(str(state).lower()).set(running[state])
        for source, silence in snapshot.device_sources.items():
            self._metrics.device_source_up.labels(source).set(silence is None)


def _ready(service: DeclaredService) -> ConditionStatus:
    conditions = service.resource.status.conditions
    return next((each.status for each in conditions if each.type == "Ready"), ConditionStatus.UNKNOWN)

"""Sees everything of a run that a report is made of, and says what is new as it happens. Acts on nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from framepilot_operator.changes import ChangeLog, LiveChange, follow
from framepilot_operator.cluster.port import Change, Cluster, Snapshot, Status, Trigger
from framepilot_operator.event_files import EventFiles
from framepilot_operator.ledger import Ledger
from framepilot_operator.observations import Observations

READ_EVERY_S = 0.5

_log = logging.getLogger(__name__)


class Witness:
    """What was observed and what arrived, since the start of the run."""

    def __init__(self, events: EventFiles | None, now: Callable[[], float]) -> None:
        self.ledger = Ledger()
        self.observations = Observations()
        self.changes = ChangeLog()
        self.latest = Snapshot()
        self._events = events
        self._now = now

    def see(self, snapshot: Snapshot) -> None:
        """Take one more snapshot."""
        self.latest = snapshot
        self.observations.look(snapshot)
        before, self.changes = self.changes, follow(self.changes, snapshot, self._now())
        known = before.changes + (None,) * (len(self.changes.changes) - len(before.changes))
        for old, new in zip(known, self.changes.changes, strict=True):
            if old != new:
                _log.info("%s", sentence(new))

    async def read_events(self) -> None:
        """Read what instances wrote, again and again, until cancelled."""
        while True:
            await self.catch_up()
            await asyncio.sleep(READ_EVERY_S)

    async def catch_up(self) -> None:
        """Read everything that was written so far."""
        if self._events is None:
            return
        try:
            await asyncio.to_thread(self._events.read, self.ledger.read)
        except OSError as error:
            _log.warning("events for the report cannot be read now: %s", error)


def sentence(change: LiveChange) -> str:
    """A change in one line, as far as it has come."""
    what = f"{change.service} {change.module}: {change.kind.value} {change.before} -> {change.to}"
    if change.outcome is None or change.ended_at is None:
        return f"{what}: requested"
    after_ms = (change.ended_at - change.requested_at) * 1000
    reason = f": {change.reason}" if change.reason else ""
    return f"{what}: {change.outcome.value} after {after_ms:.0f} ms{reason}"


class Witnessed:
    """A cluster, every snapshot of which is shown to somebody else as well."""

    def __init__(self, cluster: Cluster, seen: Callable[[Snapshot], None]) -> None:
        self._cluster = cluster
        self._seen = seen

    async def observe(self) -> Snapshot:
        """The cluster's snapshot."""
        snapshot = await self._cluster.observe()
        self._seen(snapshot)
        return snapshot

    async def apply(self, change: Change) -> None:
        """Make one change."""
        await self._cluster.apply(change)

    async def report(self, status: Status) -> None:
        """Publish one status."""
        await self._cluster.report(status)

    def triggers(self) -> AsyncIterator[Trigger]:
        """The cluster's triggers."""
        return self._cluster.triggers()

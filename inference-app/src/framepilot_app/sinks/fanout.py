"""The sinks of one service: each outcome goes to every sink that wants it, and none of them holds anybody up."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from framepilot.contract.desired import DesiredSink
from framepilot.contract.observed import ObservedSink, SinkState
from framepilot_app.credentials import Credentials
from framepilot_app.frames import Delivered, Outcome
from framepilot_app.sinks.event import encode
from framepilot_app.sinks.open import open_sink, open_spool
from framepilot_app.sinks.outbox import BACK, FRONT, Outbox
from framepilot_app.sinks.rounds import Rounds
from framepilot_app.sinks.spooler import Spooler
from framepilot_app.sinks.writer import SinkWriter


@dataclass(frozen=True, slots=True)
class Branch:
    """One sink: what it was begun with, what waits for it, and who writes it."""

    declared: DesiredSink
    credentials: Credentials
    outbox: Outbox
    writer: SinkWriter

    def wants(self, outcome: Outcome) -> bool:
        """Whether this outcome's event goes to this sink."""
        return self.declared.drops or isinstance(outcome, Delivered)


class Fanout:
    """Changed on the event loop only; `emit` and `congested` are called on any thread."""

    def __init__(
        self,
        service: str,
        spools: Path,
        on_room: Callable[[], None],
        on_write: Callable[[str, str, float], None],
        rounds: Rounds,
    ) -> None:
        """`spools`: the folder of spools that were not given one. `on_room`: it may be congested no more. `on_write` is
        told of each write: service, sink, and the seconds that it took. `rounds`: whose threads write.
        """
        self._rounds = rounds
        self._service = service
        self._spools = spools
        self._on_room = on_room
        self._on_write = on_write
        # Replaced, never changed in place: workers read it without a lock.
        self._branches: tuple[Branch, ...] = ()

    def follow(self, declared: tuple[DesiredSink, ...], credentials: Credentials) -> None:
        """Sinks that are declared come, others go; what waits for those is written as long as they take it."""
        kept = {branch.declared: branch for branch in self._branches if branch.credentials == credentials}
        for branch in self._branches:
            if branch.declared not in declared or branch.credentials != credentials:
                branch.writer.begin_to_close()
        self._branches = tuple(kept[sink] if sink in kept else self._begin(sink, credentials) for sink in declared)

    def emit(self, outcome: Outcome) -> None:
        """A frame leaves: an event for every sink that wants it. Never waits."""
        wanting = [branch.outbox for branch in self._branches if branch.wants(outcome)]
        if not wanting:
            return
        line = encode(outcome)
        for outbox in wanting:
            outbox.offer(line)

    def congested(self) -> bool:
        """Whether a lossless stream should wait before its next frame: a sink is slow, and not dead."""
        return any(branch.outbox.congested() for branch in self._branches)

    async def close(self) -> None:
        """Write what waits as long as it is taken; bounded in time."""
        await asyncio.gather(*(asyncio.to_thread(branch.writer.close) for branch in self._branches))

    @property
    def error(self) -> str | None:
        """Which sinks failed, and why."""
        observed = self.observed()
        failed = [f"sink '{sink.name}': {sink.reason}" for sink in observed if sink.state is SinkState.FAILED]
        return "; ".join(failed) or None

    def observed(self) -> list[ObservedSink]:
        """Every sink as `/status` shows it."""
        return [self._observed(branch) for branch in self._branches]

    def _begin(self, sink: DesiredSink, credentials: Credentials) -> Branch:
        outbox = Outbox(on_room=self._on_room)
        spooler = None
        if sink.spool is not None:
            outbox = Outbox(FRONT, BACK, on_room=self._on_room)
            opener = functools.partial(open_spool, self._service, sink.name, sink.spool, self._spools)
            spooler = Spooler(sink.name, outbox, opener)
        writer = SinkWriter(
            sink.name,
            outbox,
            functools.partial(open_sink, self._service, sink, credentials),
            spooler,
            self._rounds.of(sink),
            on_write=functools.partial(self._on_write, self._service, sink.name),
        )
        return Branch(sink, credentials, outbox, writer)

    def _observed(self, branch: Branch) -> ObservedSink:
        counts = branch.outbox.counts()
        return ObservedSink(
            service=self._service,
            name=branch.declared.name,
            type=branch.declared.type,
            state=branch.writer.state,
            reason=branch.writer.error,
            offered=counts.offered,
            written=counts.written,
            dropped=counts.dropped,
            waiting=counts.waiting,
            spooled=counts.spooled,
        )

"""What waits for one sink: bounded, handed over without ever waiting, and counted to the last event.

`offered = written + dropped + waiting` at every moment. Events wait in memory, in `front`. Where a spool is declared,
what `front` has no room for goes to `back`, from where the spooler moves it to disk; as long as anything is there, new
events line up behind it, so that the order holds: front, spool, back. When the sink has caught up with all that is on
disk, it takes what is left in `back` past the disk. Without a spool the oldest is dropped.

A lossless stream may wait while the outbox is filling (`congested`): before it enters its source's next frame, never
with a frame in its hands, and only as long as the sink takes events at all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final

from framepilot_app.sinks.bounded import BoundedQueue, Entry, Limits
from framepilot_app.sinks.sink import Batching
from framepilot_app.sinks.spool import Mark, Spool, SpoolError

ALONE: Final = Limits(events=8192, bytes=64 << 20)
"""`front` without a spool."""

FRONT: Final = Limits(events=1024, bytes=16 << 20)
BACK: Final = Limits(events=4096, bytes=32 << 20)
"""With a spool less is in memory, as that is what a killed process loses."""

HIGH_WATER: Final = 0.5
"""How full it is when lossless streams begin to wait. The rest has room for the frames that are in flight by then."""

PATIENCE_S: Final = 10.0
"""A sink that has taken nothing for so long is dead: nobody waits for it any more."""

log = logging.getLogger(__name__)


class Loss(StrEnum):
    """Why an event was dropped, beside the reasons of receivers that refuse some. Values are labels of a metric."""

    FULL = "full"  # newer ones came while the sink took none, and there is no spool
    SPOOL_FULL = "spool-full"  # the same, and the spool reached its size
    SPOOL_FAILED = "spool-failed"  # the disk of the spool took nothing
    SPOOL_DAMAGED = "spool-damaged"  # what the disk gave back is not what was written
    CLOSED = "closed"  # the sink was removed, or the instance stopped, and there is no spool


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of the oldest events, in hand until `settle`. `mark` says where in the spool they are; None: in memory."""

    lines: tuple[bytes, ...]
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """The account at one moment. `waiting` includes `spooled`."""

    offered: int
    written: int
    dropped: dict[str, int]
    waiting: int
    spooled: int


class Outbox:
    """Thread-safe. Filled by workers, emptied by the sink's writer, its overflow moved by the spooler."""

    def __init__(
        self,
        front: Limits = ALONE,
        back: Limits | None = None,
        *,
        on_room: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`back`: there will be a spool, and so much may wait for it. `on_room`: it is no longer congested."""
        self.on_work: Callable[[], None] = lambda: None
        """Tells the writer that there may be more for it; it is called on any thread, and quick."""
        self._front = BoundedQueue(front)
        self._back = None if back is None else BoundedQueue(back)
        self._spool: Spool | None = None
        self._on_room = on_room
        self._clock = clock
        self._changed = threading.Condition()
        self._progress_at = clock()
        self._closed = False
        self._offered = 0
        self._written = 0
        self._spooled = 0
        self._dropped: Counter[str] = Counter()

    def offer(self, line: bytes) -> None:
        """Hand over one event, as `encode` gives it. Never waits; what is lost for it is counted."""
        with self._changed:
            self._offered += 1
            now = self._clock()
            if self._closed:
                self._dropped[Loss.CLOSED] += 1
                return
            if not self._waiting():
                self._progress_at = now
            if self._back is None:
                self._lose(Loss.FULL, self._front.put(Entry(line, now)))
            elif self._spooled or len(self._back) or not self._front.fits(line):
                self._lose(Loss.SPOOL_FAILED, self._back.put(Entry(line, now)))
                self._changed.notify()
            else:
                self._front.put(Entry(line, now))
        self.on_work()

    def ready_in(self, batching: Batching) -> float:
        """Seconds until there is a batch to take, if nothing more comes; infinite: there is nothing."""
        with self._changed:
            self._catch_up()
            return self._wait_s(batching)

    def take(self, batching: Batching) -> Batch | None:
        """The oldest events, for the writer; None: there are none yet, or they wait for others."""
        with self._changed:
            self._catch_up()
            if self._wait_s(batching) > 0:
                return None
            if len(self._front):
                return Batch(tuple(self._front.hold(batching.events, batching.bytes)))
            spool = self._spool
        if spool is None:
            return None
        try:
            lines, mark = spool.read(batching.events, batching.bytes)
        except SpoolError as error:
            self._damaged(spool.skip(), error)
            return None
        return Batch(tuple(lines), mark) if lines else None

    def settle(self, batch: Batch, taken: int, refused: int = 0, reason: str = "") -> None:
        """What came of a batch: its first `taken` were written, the next `refused` dropped, the others wait on."""
        done = taken + refused
        # The spool may have dropped them meanwhile, because it was full: then they are counted already.
        gone = 0 if batch.mark is None or self._spool is None else self._spool.advance(batch.mark, done)
        with self._changed:
            before = self._filling()
            if batch.mark is None:
                gone = self._front.release(done)
            else:
                self._spooled -= gone
            self._written += min(taken, gone)
            self._lose(reason, max(gone - taken, 0))
            if done:
                self._progress_at = self._clock()
            relieved = before and not self._filling()
        if relieved:
            self._on_room()

    def attach(self, spool: Spool) -> None:
        """The spool is open. What was in it when it was opened is older than all else, and goes out first."""
        with self._changed:
            self._spool = spool
            self._offered += spool.count
            self._spooled += spool.count
            if self._spooled and self._back is not None:
                newer = [*self._front.drain(), *self._back.drain()]
                self._lose(Loss.SPOOL_FAILED, sum(self._back.put(entry) for entry in newer))
            self._changed.notify()
        self.on_work()

    def overflow(self, batching: Batching, timeout_s: float) -> tuple[bytes, ...]:
        """What the spooler has to move to disk, in its hands until `moved`; empty: nothing came for so long."""
        with self._changed:
            back = self._back
            if back is None:
                return ()
            if not len(back):
                self._changed.wait_for(lambda: len(back), timeout_s)
            return tuple(back.hold(batching.events, batching.bytes))

    def moved(self, moved: int, lost: int = 0) -> None:
        """So many of `overflow` are in the spool now, which dropped `lost` older ones for them."""
        with self._changed:
            if self._back is not None:
                self._back.release(moved)
            self._spooled += moved - lost
            self._lose(Loss.SPOOL_FULL, lost)
        self.on_work()

    def close(self) -> None:
        """Nothing is taken any more; what waits may still be written."""
        with self._changed:
            self._closed = True
        self.on_work()

    def remainder(self) -> list[bytes]:
        """All that waits in memory, the oldest first, what is in hand included; it waits on until `leave`."""
        with self._changed:
            for queue in self._queues():
                queue.release(0)
            return [entry.line for queue in self._queues() for entry in queue.free()]

    def leave(self, *, spooled: bool) -> None:
        """The end: what was the remainder is in the spool now, or lost."""
        with self._changed:
            for queue in self._queues():
                queue.release(0)
            left = sum(len(queue.drain()) for queue in self._queues())
            if spooled:
                self._spooled += left
            else:
                self._lose(Loss.CLOSED, left)

    def congested(self) -> bool:
        """Whether a lossless stream should wait before its next frame."""
        with self._changed:
            return self._filling() and self._clock() - self._progress_at < PATIENCE_S

    def counts(self) -> OutboxCounts:
        """The account at one moment."""
        with self._changed:
            return OutboxCounts(
                offered=self._offered,
                written=self._written,
                dropped=dict(self._dropped),
                waiting=self._waiting(),
                spooled=max(self._spooled, 0),
            )

    def _catch_up(self) -> None:
        back = self._back
        if back is None or back.in_hand or len(self._front) or self._spooled > 0:
            return
        while (oldest := back.oldest) is not None and self._front.fits(oldest.line):
            self._front.put(back.pop())

    def _queues(self) -> tuple[BoundedQueue, ...]:
        return (self._front,) if self._back is None else (self._front, self._back)

    def _waiting(self) -> int:
        return self._spooled + sum(len(queue) for queue in self._queues())

    def _filling(self) -> bool:
        spool_fills = self._spool is None or self._spool.fill >= HIGH_WATER
        return spool_fills and max(queue.fill for queue in self._queues()) >= HIGH_WATER

    def _damaged(self, lost: int, error: SpoolError) -> None:
        log.error("events of a spool are lost", extra={"events": lost, "error": str(error)})
        with self._changed:
            self._spooled -= lost
            self._lose(Loss.SPOOL_DAMAGED, lost)

    def _lose(self, reason: str, count: int) -> None:
        if count:
            self._dropped[reason] += count

    def _wait_s(self, batching: Batching) -> float:
        """How long a batch has to wait for more events; 0: it is ready; infinite: there is nothing yet."""
        oldest = self._front.oldest
        if oldest is None:
            return 0 if self._spooled > 0 else inf
        if self._closed or self._spooled > 0 or self._front.ready(batching.events, batching.bytes):
            return 0
        return max(0.0, oldest.at + batching.linger_s - self._clock())

"""What writes to one sink: it opens the sink, writes what waits in the outbox, and tries again when that fails.

Its steps are taken by a thread that goes round the writers of sinks with one fate (`rounds.py`). Nothing waits for it.
A failed sink is closed and opened anew after a back-off; what it did not take stays in the outbox. `close` writes what
waits as long as the sink takes it, but not longer than `CLOSE_S`.
"""

from __future__ import annotations

import functools
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from framepilot.contract.observed import SinkState
from framepilot_app.sinks.backoff import retry_delay
from framepilot_app.sinks.outbox import Batch, Outbox
from framepilot_app.sinks.round import Round
from framepilot_app.sinks.sink import RefusedError, Sink, SinkError
from framepilot_app.sinks.spooler import Spooler

IDLE_S: Final = 1.0
"""How often a sink that has nothing to write is asked whether it could."""

FAILED_AFTER: Final = 4
"""Failures in a row, which take about a second: before, a sink is being tried again; from then on it has failed."""

CLOSE_S: Final = 15.0

SPOOL_LOOK_S: Final = 0.02
"""How often it looks whether its spool was opened."""

logger = logging.getLogger(__name__)


class SinkWriter:
    """Writes the events of one service to one sink, in the order in which they were offered to the outbox."""

    def __init__(
        self,
        name: str,
        outbox: Outbox,
        open_sink: Callable[[], Sink],
        spooler: Spooler | None = None,
        going_round: Round | None = None,
        *,
        on_write: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        idle_s: float = IDLE_S,
    ) -> None:
        """Begin. `open_sink` is called on the thread of the round, and raises SinkError where the sink cannot be opened
        now.

        `going_round`: whose thread takes its steps; None: one of its own. `on_write` is told after each write how many
        seconds it took.
        """
        self.name = name
        self._outbox = outbox
        self._open_sink = open_sink
        self._spooler = spooler
        self._on_write = on_write
        self._clock = clock
        self._jitter = jitter
        self._idle_s = idle_s
        self._sink: Sink | None = None
        self._closing = threading.Event()
        self._left = threading.Event()
        self._ended = threading.Event()
        self._failures = 0
        self._refused = False
        self._error: str | None = None
        self._began_at = self._retry_at = clock()
        self._check_at = self._began_at + idle_s
        going_round = Round(f"sink-{name}") if going_round is None else going_round
        outbox.on_work = functools.partial(going_round.call, self)
        going_round.begin(self)

    @property
    def state(self) -> SinkState:
        """Whether it can be written."""
        if self._failures == 0:
            return SinkState.CONNECTING if self._sink is None else SinkState.CONNECTED
        return SinkState.RETRYING if self._failures < FAILED_AFTER else SinkState.FAILED

    @property
    def error(self) -> str | None:
        """Why it cannot be written or spooled; None if it can."""
        return self._error or (self._spooler.error if self._spooler else None)

    def begin_to_close(self) -> None:
        """Write what waits as long as it is taken, then end; what comes from now on is dropped."""
        self._closing.set()
        self._outbox.close()

    def close(self, within_s: float = CLOSE_S) -> None:
        """The same, and wait for it. What could not be written is spooled, or dropped and counted. Idempotent."""
        self.begin_to_close()
        if not self._ended.wait(within_s):
            logger.error("sink '%s' did not close within %.0f s; it is left as it is", self.name, within_s)
            self._leave()

    def step(self) -> float | None:
        """Open the sink, or write what waits, if it is time to."""
        now = self._clock()
        closing = self._closing.is_set()
        if not closing and (not_before := self._not_before(now)) > now:
            return not_before
        if not self._over():
            self._try()
        if not self._over():
            return self._next_at()
        self._discard()
        self._leave()
        return None

    def _not_before(self, now: float) -> float:
        """When it may go on: what is in a spool goes out first, and a sink that failed is left alone for a while."""
        if self._spooler is not None and not self._spooler.tried.is_set() and now < self._began_at + CLOSE_S:
            return now + SPOOL_LOOK_S
        return self._retry_at

    def _next_at(self) -> float:
        now = self._clock()
        if self._sink is None:
            return now if self._closing.is_set() else self._retry_at
        return min(now + self._outbox.ready_in(self._sink.batching), self._check_at)

    def _try(self) -> None:
        try:
            self._write_or_check()
        except RefusedError as error:
            # The sink itself works; the next events may be welcome, and only they can tell.
            self._refused = True
            self._count_failure(str(error))
        except SinkError as error:
            self._failures = 0 if error.taken else self._failures
            self._failed(str(error), error.retry_after_s)
        except Exception as error:
            logger.exception("sink '%s' raised", self.name)
            self._failed(f"unexpected {type(error).__name__}; the log has the details")

    def _over(self) -> bool:
        if not self._closing.is_set():
            return False
        if self._left.is_set():
            return True
        return self._failures >= FAILED_AFTER or self._outbox.counts().waiting == 0

    def _write_or_check(self) -> None:
        if self._sink is None:
            self._sink = self._open_sink()
        batch = self._outbox.take(self._sink.batching)
        if batch is not None:
            self._write(self._sink, batch)
            self._works()
        elif self._clock() >= self._check_at:
            self._sink.check()
            if not self._refused:
                self._works()
        else:
            return
        self._check_at = self._clock() + self._idle_s

    def _write(self, sink: Sink, batch: Batch) -> None:
        taken = refused = 0
        reason = ""
        began = self._clock()
        try:
            sink.write(batch.lines)
            taken = len(batch.lines)
        except RefusedError as error:
            taken, refused, reason = error.taken, error.refused, error.reason
            raise
        except SinkError as error:
            taken = error.taken
            raise
        finally:
            self._on_write(self._clock() - began)
            self._outbox.settle(batch, taken, refused, reason)

    def _works(self) -> None:
        if self._failures:
            logger.info("sink '%s' works again", self.name)
        self._failures = 0
        self._refused = False
        self._error = None

    def _count_failure(self, reason: str) -> None:
        self._failures += 1
        self._error = reason
        if self._failures in {1, FAILED_AFTER}:
            logger.warning("sink '%s' fails and is tried again: %s", self.name, reason)

    def _failed(self, reason: str, retry_after_s: float = 0.0) -> None:
        self._count_failure(reason)
        self._discard()
        self._retry_at = self._clock() + max(retry_delay(self._failures, self._jitter()), retry_after_s)

    def _discard(self) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        try:
            sink.close()
        except Exception:
            logger.exception("sink '%s' cannot be closed", self.name)

    def _leave(self) -> None:
        """Once, by whoever comes first: the thread, or who gave it up."""
        if self._left.is_set():
            return
        self._left.set()
        spooled = self._spooler is not None and self._spooler.stop()
        self._outbox.leave(spooled=spooled)
        self._ended.set()

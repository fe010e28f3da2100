"""One thread for each sink: it opens the sink, writes what waits in the outbox, and tries again when that fails.

Nothing waits for it. A failed sink is closed and opened anew after a back-off; what it did not take stays in the
outbox. `close` writes what waits as long as the sink takes it, but not longer than `CLOSE_S`.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from framepilot.contract.observed import SinkState
from framepilot_app.sinks.backoff import retry_delay
from framepilot_app.sinks.outbox import Batch, Outbox
from framepilot_app.sinks.sink import RefusedError, Sink, SinkError
from framepilot_app.sinks.spooler import Spooler

IDLE_S: Final = 1.0
"""How often a sink that has nothing to write is asked whether it could."""

FAILED_AFTER: Final = 4
"""Failures in a row, which take about a second: before, a sink is being tried again; from then on it has failed."""

CLOSE_S: Final = 15.0

logger = logging.getLogger(__name__)


class SinkWriter:
    """Writes the events of one service to one sink, in the order in which they were offered to the outbox."""

    def __init__(
        self,
        name: str,
        outbox: Outbox,
        open_sink: Callable[[], Sink],
        spooler: Spooler | None = None,
        *,
        on_write: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        idle_s: float = IDLE_S,
    ) -> None:
        """Start the thread. `open_sink` is called on it, and raises SinkError where the sink cannot be opened now.

        `on_write` is told after each write how many seconds it took.
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
        self._failures = 0
        self._refused = False
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)
        self._thread.start()

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
        self._outbox.close()
        self._closing.set()

    def close(self, within_s: float = CLOSE_S) -> None:
        """The same, and wait for it. What could not be written is spooled, or dropped and counted. Idempotent."""
        self.begin_to_close()
        self._thread.join(within_s)
        if self._thread.is_alive():
            logger.error("sink '%s' did not close within %.0f s; it is left as it is", self.name, within_s)
            self._leave()

    def _run(self) -> None:
        if self._spooler is not None:
            self._spooler.tried.wait(CLOSE_S)
        while not self._over():
            try:
                self._step()
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
        self._discard()
        self._leave()

    def _over(self) -> bool:
        if not self._closing.is_set():
            return False
        if self._left.is_set():
            return True
        return self._failures >= FAILED_AFTER or self._outbox.counts().waiting == 0

    def _step(self) -> None:
        if self._sink is None:
            self._sink = self._open_sink()
        batch = self._outbox.take(self._sink.batching, self._idle_s)
        if batch is not None:
            self._write(self._sink, batch)
            self._works()
            return
        self._sink.check()
        if not self._refused:
            self._works()

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
        self._closing.wait(max(retry_delay(self._failures, self._jitter()), retry_after_s))

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

"""The thread of a sink with a spool: it opens the spool and moves to disk what memory has no room for.

A disk that takes nothing for a while stops nobody: this thread waits, and what it cannot move in time is dropped and
counted by the outbox.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from framepilot_app.sinks.outbox import Outbox
from framepilot_app.sinks.sink import Batching
from framepilot_app.sinks.spool import Spool, SpoolError

RETRY_S: Final = 1.0
IDLE_S: Final = 0.25
STUCK_S: Final = 5.0
AT_ONCE: Final = Batching(events=512, bytes=4 << 20)

log = logging.getLogger(__name__)


class Spooler:
    """Runs until `stop`; then the spool has all that was left in memory, and is closed."""

    def __init__(self, name: str, outbox: Outbox, open_spool: Callable[[], Spool]) -> None:
        self._name = name
        self._outbox = outbox
        self._open_spool = open_spool
        self._spool: Spool | None = None
        self._stopping = threading.Event()
        self.tried = threading.Event()
        """It was tried to open the spool: what was found in it, if it could be, is in the outbox."""
        self.error: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"spool-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Called when nothing else uses the outbox any more; whether what was left is in the spool now."""
        self._stopping.set()
        self._thread.join(STUCK_S)
        if self._thread.is_alive():
            log.error("the spool of sink '%s' does not end; its disk hangs", self._name)
            return False
        spool, self._spool = self._spool, None
        if spool is None:
            return False
        left = self._outbox.remainder()
        try:
            if left:
                spool.prepend(left)
        except SpoolError as error:
            self._failed(error)
            return False
        finally:
            spool.close()
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except SpoolError as error:
                self._failed(error)
                self.tried.set()
                self._stopping.wait(RETRY_S)
            except Exception:
                log.exception("the spool of sink '%s' raised", self._name)
                self._stopping.wait(RETRY_S)

    def _step(self) -> None:
        if self._spool is None:
            self._spool = self._open_spool()
            self._outbox.attach(self._spool)
            self.tried.set()
        lines = self._outbox.overflow(AT_ONCE, IDLE_S)
        moved = 0
        try:
            if lines:
                self._spool.append(lines)
                moved = len(lines)
                self.error = None
        finally:
            self._outbox.moved(moved, self._spool.take_lost())

    def _failed(self, error: SpoolError) -> None:
        if self.error is None:
            log.error("events are not spooled: %s", error)
        self.error = str(error)

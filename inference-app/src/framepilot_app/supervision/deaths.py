"""Threads that ended by an exception that nobody expected: logged, counted, and a reason to be unhealthy.

Readers, sinks and workers handle what can be expected of the world, and go on. What is left is a fault in this program,
after which nobody knows what still works, so `/healthz` says so.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter

log = logging.getLogger(__name__)


class Deaths:
    """Told by `threading.excepthook`, on the thread that dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._first: str | None = None

    def watch(self) -> None:
        """From now on, be told of every thread of the process."""
        threading.excepthook = self.died

    def died(self, args: threading.ExceptHookArgs) -> None:
        """A thread ends by this exception."""
        name = args.thread.name if args.thread is not None else "a thread"
        error = args.exc_value or args.exc_type()
        log.error("a thread died", exc_info=error, extra={"died": name})
        with self._lock:
            self._counts[kind(name)] += 1
            self._first = self._first or f"thread '{name}' died of {type(error).__name__}: {error}"

    @property
    def reason(self) -> str | None:
        """The first death; None as long as there was none."""
        return self._first

    def counts(self) -> dict[str, int]:
        """How many died, by kind of thread."""
        with self._lock:
            return dict(self._counts)


def kind(name: str) -> str:
    """The kind of thread, of which there are few: `sink` for `sink-events`, `Thread` for one without a name."""
    return name.partition("-")[0]

"""Ends the process when a thread that everything depends on is stuck, so that whoever started it starts it again.

A thread cannot be ended from outside, and one that hangs in a driver holds the device; only a new process helps. What
all threads were doing is written to standard error first. The watchdog is a thread of its own and takes no lock, for
whoever is stuck may hold one. Should the interpreter itself never come free, faulthandler's thread, which does without
it, ends the process after twice the time (with exit status 1, which is all it can give).

A process that was stopped as a whole, with its container or its machine, is not stuck: then this thread looks late,
too, and everybody's time begins anew.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

EXIT_STATUS: Final = 70
"""EX_SOFTWARE of sysexits.h."""

LOOKS: Final = 10
"""How often it looks within the time after which somebody is stuck."""


class Watchdog:
    """Looks at heartbeats: for each name a function that gives the monotonic time of the last one."""

    def __init__(
        self,
        hearts: Mapping[str, Callable[[], float]],
        stuck_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hearts = hearts
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._looked_at = self._since = clock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def stuck(self) -> str | None:
        """Who has given no sign of life for too long; None if all is well."""
        now = self._clock()
        for name, last_beat in self._hearts.items():
            age = now - max(last_beat(), self._since)
            if age > self._stuck_after_s:
                return f"the {name} has given no sign of life for {age:.0f} s"
        return None

    def look(self) -> str | None:
        """The regular look: who is stuck."""
        now = self._clock()
        if now - self._looked_at > self._stuck_after_s / 2:
            self._since = now
        self._looked_at = now
        return self.stuck()

    def _run(self) -> None:
        while not self._stopping.wait(self._stuck_after_s / LOOKS):
            faulthandler.dump_traceback_later(2 * self._stuck_after_s, exit=True)
            reason = self.look()
            if reason is not None:
                _end(reason)


def _end(reason: str) -> None:
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
    # Last, because the last line of a log is what whoever restarts the process shows of it.
    entry = {"time": datetime.now(UTC).isoformat(), "level": "CRITICAL", "message": f"{reason}; the process ends"}
    os.write(sys.stderr.fileno(), (json.dumps(entry) + "\n").encode())
    os._exit(EXIT_STATUS)

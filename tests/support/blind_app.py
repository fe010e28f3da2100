"""`python -m support.blind_app`: the inference app, which says what it costs to watch it, and can go unwatched.

After SIGUSR1 it records nothing, after SIGUSR2 it does again: so both are seen in one process, which is the same in all
else. The processor's time that recording and answering took until then, part by part, and all of the process's, is
written as JSON to the file that `TELEMETRY_COST` names, at each of these signals.

Most of what is timed takes less than reading the clock does. So the clock is read once more after each of these, and
what it says of nothing is taken off.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from framepilot_app.app import App
from framepilot_app.cli import main
from framepilot_app.telemetry.metrics import Metrics
from framepilot_app.web import server

RECORDS = (
    (Metrics, "delivered", "frames that were delivered"),
    (Metrics, "batch", "batches that have run"),
    (Metrics, "decoded", "outputs that were decoded"),
    (Metrics, "written", "writes of sinks"),
    (Metrics, "fold", "counting, once a second"),
    (App, "_account", "how objectives are kept, once a second"),
    (App, "_remember", "the page's history, once a second"),
)
ANSWERS = (("_status", "/status"), ("_metrics", "/metrics"))
PARTS = tuple(part for *_, part in (*RECORDS, *ANSWERS))
"""What telemetry's time is spent on."""
COST = "TELEMETRY_COST"

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Meter:
    """Seconds of processors' time, by thread; threads add to their own only."""

    def __init__(self) -> None:
        self.blind = False
        self._spent: list[Counter[str]] = []
        self._local = threading.local()

    def unless_blind(self, part: str, method: Callable[..., None]) -> Callable[..., None]:
        """The method, timed; nothing while it shall be blind."""

        @functools.wraps(method)
        def called(*args: Any) -> None:
            if self.blind:
                return
            before = time.thread_time()
            method(*args)
            after = time.thread_time()
            self._spend(part, after - before, time.thread_time() - after)

        return called

    def timed(self, part: str, make: Callable[..., Handler]) -> Callable[..., Handler]:
        """What makes a handler that waits for nothing; its answers are timed."""

        def made(*args: Any) -> Handler:
            handle = make(*args)

            async def answer(request: web.Request) -> web.Response:
                before = time.thread_time()
                response = await handle(request)
                self._spend(part, time.thread_time() - before)
                return response

            return answer

        return made

    def _spend(self, part: str, seconds: float, clock_s: float = 0.0) -> None:
        if not hasattr(self._local, "spent"):
            self._local.spent = Counter()
            self._spent.append(self._local.spent)
        self._local.spent[part] += seconds - clock_s

    def heard(self, number: int, _: object) -> None:
        """A signal: say what was spent, and go on as it says."""
        temporary = Path(f"{os.environ[COST]}.new")
        spent = sum((Counter(own) for own in self._spent), Counter())
        temporary.write_text(json.dumps({"parts": spent, "all": time.process_time()}))
        temporary.replace(os.environ[COST])
        self.blind = number == signal.SIGUSR1


if __name__ == "__main__":
    meter = Meter()
    for owner, name, part in RECORDS:
        setattr(owner, name, meter.unless_blind(part, getattr(owner, name)))
    for name, part in ANSWERS:
        setattr(server, name, meter.timed(part, getattr(server, name)))
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, meter.heard)
    main()

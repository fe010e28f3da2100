"""`python -m support.blind_app`: the inference app, which says what it costs to watch it, and can go unwatched.

After SIGUSR1 it records nothing, after SIGUSR2 it does again: so both are seen in one process, which is the same in all
else. The processor's time that recording and answering took until then is written to the file that `TELEMETRY_COST`
names, at each of these signals.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from framepilot_app.app import App
from framepilot_app.cli import main
from framepilot_app.telemetry.metrics import Metrics
from framepilot_app.web import server

RECORDS = ((Metrics, ("frame", "batch", "decoded", "written", "fold")), (App, ("_account", "_remember")))
ANSWERS = ("_status", "_metrics")
COST = "TELEMETRY_COST"

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Meter:
    """Seconds of processors' time, by thread; threads add to their own only."""

    def __init__(self) -> None:
        self.blind = False
        self._spent: list[list[float]] = []
        self._local = threading.local()

    def unless_blind(self, method: Callable[..., None]) -> Callable[..., None]:
        """The method, timed; nothing while it shall be blind."""

        @functools.wraps(method)
        def called(*args: Any) -> None:
            if self.blind:
                return
            before = time.thread_time()
            method(*args)
            self._spend(time.thread_time() - before)

        return called

    def timed(self, make: Callable[..., Handler]) -> Callable[..., Handler]:
        """What makes a handler that waits for nothing; its answers are timed."""

        def made(*args: Any) -> Handler:
            handle = make(*args)

            async def answer(request: web.Request) -> web.Response:
                before = time.thread_time()
                response = await handle(request)
                self._spend(time.thread_time() - before)
                return response

            return answer

        return made

    def _spend(self, seconds: float) -> None:
        if not hasattr(self._local, "spent"):
            self._local.spent = [0.0]
            self._spent.append(self._local.spent)
        self._local.spent[0] += seconds

    def heard(self, number: int, _: object) -> None:
        """A signal: say what was spent, and go on as it says."""
        temporary = Path(f"{os.environ[COST]}.new")
        temporary.write_text(f"{sum(own[0] for own in self._spent)} {time.process_time()}")
        temporary.replace(os.environ[COST])
        self.blind = number == signal.SIGUSR1


if __name__ == "__main__":
    meter = Meter()
    for owner, names in RECORDS:
        for name in names:
            setattr(owner, name, meter.unless_blind(getattr(owner, name)))
    for name in ANSWERS:
        setattr(server, name, meter.timed(getattr(server, name)))
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, meter.heard)
    main()

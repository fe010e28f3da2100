"""Where a run is shown: a table that stays in place on a terminal, lines of a log everywhere else. Always on stderr.

Standard output belongs to the results of stdout sinks.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler

from framepilot_operator.cluster.port import Snapshot
from framepilot_operator.table import news, render, totals

TOTALS_EVERY_S: Final = 5.0

_log = logging.getLogger(__name__)

Show = Callable[[Snapshot], None]


@contextmanager
def live_table() -> Iterator[Show]:
    """Show snapshots as a table that is replaced by each next one; log lines scroll above it."""
    console = Console(stderr=True)
    _log_to(RichHandler(console=console, show_path=False))
    with Live(console=console, auto_refresh=False) as live:
        yield lambda snapshot: live.update(render(snapshot), refresh=True)


@contextmanager
def log_lines(now: Callable[[], float]) -> Iterator[Show]:
    """Show what is new in each snapshot as lines of the log, and the counts every few seconds."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log_to(handler)
    before, counted_at = Snapshot(), now()

    def show(snapshot: Snapshot) -> None:
        nonlocal before, counted_at
        for line in news(before, snapshot):
            _log.info("%s", line)
        before = snapshot
        if now() - counted_at >= TOTALS_EVERY_S:
            counted_at = now()
            _log.info("%s", totals(snapshot))

    yield show


def _log_to(handler: logging.Handler) -> None:
    root = logging.getLogger("framepilot_operator")
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False

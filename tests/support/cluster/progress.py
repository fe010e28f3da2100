"""Says what takes time and how far it is: a bar in a terminal, a line now and then in a log. Everything on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

LINE_EVERY_S = 30.0

Report = Callable[[str, int, int], None]
"""Told what is done now, how much of it is done, and of how much (0: unknown)."""


def say(text: str) -> None:
    """One line for the person who waits."""
    print(f"cluster: {text}", file=sys.stderr, flush=True)


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Shows what is reported while the block runs, and how long it took at its end."""
    started = time.monotonic()
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("cluster: {task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda now, done, total: bar.update(
                task, description=f"{what}: {now}", completed=done, total=total or None
            )
    else:
        say(f"{what} ...")
        yield _lines(what)
    say(f"{what}: done in {time.monotonic() - started:.0f} s")


def _lines(what: str) -> Report:
    said_at = time.monotonic()

    def report(now: str, done: int, total: int) -> None:
        nonlocal said_at
        if time.monotonic() - said_at < LINE_EVERY_S:
            return
        said_at = time.monotonic()
        say(f"{what}: {now}" + (f" ({done} of {total})" if total else ""))

    return report

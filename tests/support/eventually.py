"""Wait for what other threads and processes do, without guessing how long they take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

TIMEOUT_S = 60.0
POLL_S = 0.002


def eventually(
    condition: Callable[[], object],
    what: str = "the condition",
    timeout_s: float = TIMEOUT_S,
    poll_s: float = POLL_S,
) -> None:
    """Return as soon as it holds; fail with `what` when it never does."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"gave up waiting for {what}"
        time.sleep(poll_s)


async def eventually_async(
    condition: Callable[[], object], what: str = "the condition", timeout_s: float = TIMEOUT_S
) -> None:
    """The same on an event loop that has to go on meanwhile."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"gave up waiting for {what}"
        await asyncio.sleep(POLL_S)

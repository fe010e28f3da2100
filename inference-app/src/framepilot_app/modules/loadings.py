"""What is being loaded on a device, in bounded steps: one candidate after the other, and how much of the time they get.

At once while the device is idle, in a small share of the time in the gaps between batches, and in a smaller one under a
load that leaves no gap, so that a swap always ends. Loading on a thread beside it would stall every batch by the
interpreter's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Final

GAP_SHARE: Final = 0.08
"""Share of the time that loading may take in the gaps between batches: a batch that becomes due in the middle of a step
waits for its end, so steps have to be rare for the tail of latencies not to show them."""

BUSY_SHARE: Final = 0.04
"""The same while a batch is due, so that a load that leaves no gap does not hold up a swap for ever."""

QUIET_S: Final = 0.1
"""Without a batch for so long the device is idle, and loading takes all of its time."""


class Loading:
    """A candidate being loaded: a generator of bounded steps, and what they cost. Seconds."""

    def __init__(self, steps: Generator[None, None, None], now: float) -> None:
        self.done: Future[None] = Future()
        self.spent_s = 0.0
        self.longest_s = 0.0
        self.cancelled = False
        self._steps = steps
        self._started_at = now

    def within(self, share: float, now: float) -> bool:
        """Whether it has had no more than this share of the time since it began."""
        return self.spent_s <= share * (now - self._started_at)

    def step(self, clock: Callable[[], float]) -> bool:
        """Take one step. True when it has ended."""
        if self.cancelled:
            self._steps.close()
            self.done.cancel()
            return True
        before = clock()
        try:
            next(self._steps)
        except StopIteration:
            self.done.set_result(None)
        except Exception as error:  # noqa: BLE001 whatever a candidate does wrong is its own refusal
            self.done.set_exception(error)
        took = clock() - before
        self.spent_s += took
        self.longest_s = max(self.longest_s, took)
        return self.done.done()


class Loadings:
    """Added to on any thread, stepped and closed by the device thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all: deque[Loading] = deque()

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, loading: Loading) -> None:
        """It has its turn after those that are there."""
        self._all.append(loading)

    def step(self, now: float, ran_at: float, *, busy: bool) -> bool:
        """One step of the candidate whose turn it is, if it may take one now.

        `ran_at` is when the last batch ended; `busy`: another one is due.
        """
        if not self._all:
            return False
        loading = self._all[0]
        share = BUSY_SHARE if busy else 1.0 if now - ran_at > QUIET_S else GAP_SHARE
        if not loading.cancelled and not loading.within(share, now):
            return False
        if loading.step(self._clock):
            self._all.popleft()
        return True

    def close(self) -> None:
        """Give up all that are left."""
        for loading in self._all:
            loading.cancelled = True
            loading.step(self._clock)

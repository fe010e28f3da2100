"""Batches that take longer than they may: first fewer items at once, then none for a while, and back step by step.

A circuit breaker (Nygard, Release It!) of several steps, the last of which leaves nothing. Each step back up is on
trial for as long as was waited for it; one that fails is taken back, and the next one waits twice as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

STRIKES: Final = 3
"""So many batches in a row have to take too long: on a busy machine one does now and then."""

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """What has come of a module's batches, of those that it ran alone. Times are monotonic seconds.

    `most` items may run at once: None, as many as anybody likes; 0, none: it is open. `over` batches in a row took too
    long, or may have. From `until` on a step up may be tried, `wait_s` after the one down; while `on_trial`, the last
    step up has to prove itself until then.
    """

    most: int | None = None
    over: int = 0
    wait_s: float = FIRST_WAIT_S
    until: float = 0.0
    on_trial: bool = False

    @property
    def open(self) -> bool:
        """Whether nothing runs but a trial."""
        return self.most == 0

    def room(self, room: int, now: float) -> int:
        """Of items that may be under way so many: while it is open none, and one for a trial."""
        if not self.open:
            return room
        return min(room, 1) if now >= self.until else 0

    def sizes(self, sizes: Sequence[int], now: float) -> Sequence[int]:
        """Those of some sizes that may run now: none while it is open, and the next step up when that may be tried."""
        if self.most is None:
            return sizes
        most = max(2 * self.most, 1) if now >= self.until else self.most
        return tuple(size for size in sizes if size <= most)

    def apart(self, size: int) -> bool:
        """Whether a batch of this size has to run alone, so that it is known whose time it takes."""
        return self.over > 0 or self.on_trial or self._beyond(size)

    def suspected(self) -> Breaker:
        """It took too long in a batch of several, of which another may be to blame: what it runs alone will tell."""
        return self if self.over else replace(self, over=1)

    def after(self, began_at: float, size: int, seconds: float, limit_s: float) -> Breaker:
        """A batch that it ran alone took so long, and may take `limit_s`."""
        if self.on_trial and began_at >= self.until:
            # A step up that has been good for as long as was waited for it stays.
            return Breaker(self.most, until=self.until).after(began_at, size, seconds, limit_s)
        ended_at, beyond = began_at + seconds, self._beyond(size)
        if seconds <= limit_s:
            return Breaker(size, 0, self.wait_s, ended_at + self.wait_s, on_trial=True) if beyond else self._calm()
        if beyond or self.on_trial:
            most = self.most if beyond or self.most is None else self.most // 2
            wait_s = min(2 * self.wait_s, LONGEST_WAIT_S)
            return Breaker(most, 0, wait_s, ended_at + wait_s)
        if self.over + 1 < STRIKES:
            return replace(self, over=self.over + 1)
        # The next one that takes too long is another step down at once, until one is within the limit.
        return Breaker(size // 2, STRIKES, FIRST_WAIT_S, ended_at + FIRST_WAIT_S)

    def _calm(self) -> Breaker:
        return replace(self, over=0) if self.over else self

    def _beyond(self, size: int) -> bool:
        return self.most is not None and size > self.most

"""Keeps the batches of one lane within the time that its service may hold the device.

Sizes that were measured to take longer when the version was loaded are not run; what happens while it runs is for the
pure breaker (`framepilot.scheduling.breaker`). Batches that others run in tell whom to watch and convict nobody: what
is charged there follows from the time of all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from framepilot.contract.observed import ObservedTimeLimit
from framepilot.scheduling.batcher import BatchPolicy
from framepilot.scheduling.breaker import Breaker
from framepilot.scheduling.latency import LatencyModel


@dataclass(slots=True)
class _Left:
    """What of a policy is within the limit as it was measured, and what the breaker left of that last."""

    policy: BatchPolicy
    measured: tuple[int, ...]
    now: BatchPolicy


class TimeLimit:
    """Used by the device thread; `open`, `room` and `observed` on any."""

    def __init__(self, measured: LatencyModel) -> None:
        """`measured` is how long batches took when the version was loaded."""
        self._measured = measured
        self._limit_s = math.inf
        self._breaker = Breaker()
        self._took_s = 0.0
        self._left: _Left | None = None

    @property
    def open(self) -> bool:
        """Whether nothing runs but a trial now and then."""
        return self._breaker.open

    def room(self, room: int, limit_s: float, now: float) -> int:
        """How many frames that are not to be lost may be under way, of so many; `now` is monotonic seconds."""
        # Under another limit it would run: what is let in now finds out.
        return self._breaker.room(room, now) if limit_s == self._limit_s else room

    def within(self, policy: BatchPolicy, limit_s: float, now: float) -> BatchPolicy:
        """What of a policy may run now; no sizes: nothing. The same object as long as it is the same."""
        if limit_s != self._limit_s:
            # What was found under another limit says nothing of this one.
            self._limit_s, self._breaker, self._left = limit_s, Breaker(), None
        if limit_s == math.inf:
            return policy
        left = self._left
        if left is None or left.policy is not policy:
            measured = self._measured_within(policy, limit_s)
            self._left = left = _Left(policy, measured, BatchPolicy(measured, policy.max_wait))
        sizes = self._breaker.sizes(left.measured, now)
        if sizes != left.now.sizes:
            left.now = BatchPolicy(sizes, policy.max_wait)
        return left.now

    def apart(self, size: int) -> bool:
        """Whether a batch of this size has to run without others."""
        return self._breaker.apart(size)

    def ran_alone(self, began_at: float, size: int, seconds: float) -> bool:
        """A batch held the device for so long; whether that was too long."""
        if self._limit_s == math.inf:
            return False
        self._breaker = self._breaker.after(began_at, size, seconds, self._limit_s)
        return self._too_long(seconds)

    def ran_with_others(self, seconds: float) -> bool:
        """So much of a batch was charged to it; whether that was too much."""
        if not self._too_long(seconds):
            return False
        self._breaker = self._breaker.suspected()
        return True

    def why(self) -> str:
        """Why nothing runs, while it is open."""
        return (
            f"a batch of one held the device for {in_ms(self._took_s)}, more than the {in_ms(self._limit_s)} of "
            f"placement.timeLimit, several times in a row; it is tried again after {self._breaker.wait_s:g} s"
        )

    def observed(self, policy: BatchPolicy, limit_s: float, over: int) -> ObservedTimeLimit | None:
        """What `/status` says of it; `over`: how many batches took longer."""
        if limit_s == math.inf:
            return None
        measured = self._measured_within(policy, limit_s)
        # A limit that has just come is in force with the next batch.
        most = self._breaker.most if limit_s == self._limit_s else None
        size = max((each for each in measured if most is None or each <= most), default=0)
        reason = None
        if size == 0:
            reason = self.why()
        elif size < measured[-1]:
            reason = f"larger batches took {in_ms(self._took_s)} or so, several times in a row"
        elif size < policy.sizes[-1]:
            larger = policy.sizes[len(measured)]
            reason = f"a batch of {larger} was measured to take {in_ms(self._measured.seconds(larger))}"
        return ObservedTimeLimit(limit_ms=limit_s * 1000, size=size, over=over, reason=reason)

    def _too_long(self, seconds: float) -> bool:
        if seconds <= self._limit_s:
            return False
        self._took_s = seconds
        return True

    def _measured_within(self, policy: BatchPolicy, limit_s: float) -> tuple[int, ...]:
        """Sizes that did not take too long when they were measured, and in any case the least."""
        least, *larger = policy.sizes
        return (least, *(size for size in larger if self._measured.seconds(size) <= limit_s))


def in_ms(seconds: float) -> str:
    """Milliseconds to three digits, for a person."""
    return f"{float(f'{seconds * 1000:.3g}'):g} ms"

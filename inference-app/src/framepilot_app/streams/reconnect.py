"""How long to wait before a live source is opened again: exponential, capped, half of it random. Pure.

The random half keeps cameras that went away together, behind one switch say, from being asked together. Source:
M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0
STEADY_S: Final = 10.0
"""A source that gave frames for so long works; what happens then is a new fault, and not the old one going on."""


@dataclass(frozen=True, slots=True)
class Reconnect:
    """What is remembered between two openings: how many failed in a row."""

    failures: int = 0

    def after(self, ran_s: float) -> Reconnect:
        """An opening is over, which gave frames for so many seconds (0: none at all)."""
        return Reconnect(1 if ran_s >= STEADY_S else self.failures + 1)

    def delay_s(self, jitter: float) -> float:
        """Seconds to wait before the next opening; `jitter` is a random number in 0..1."""
        if self.failures == 0:
            return 0.0
        # An exponent beyond 16 is far above the cap; limiting it keeps the power a small number.
        delay = min(LONGEST_S, FIRST_S * 2.0 ** min(self.failures - 1, 16))
        return delay * (0.5 + 0.5 * jitter)

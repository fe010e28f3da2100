"""How long to wait before a sink is tried again: exponential, capped, jittered above a floor.

Jitter keeps those that lost the same receiver together from coming back together. Source: M. Brooker, "Exponential
Backoff And Jitter", AWS Architecture Blog, 2015; half of the delay is kept as a floor.
"""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.1
LONGEST_S: Final = 30.0


def retry_delay(failures: int, jitter: float) -> float:
    """Seconds to wait after this many failures in a row (1: the first). `jitter` is a random number in 0..1."""
    # An exponent beyond 16 is far above the cap; limiting it keeps the power a small number.
    delay = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 16))
    return delay * (0.5 + 0.5 * jitter)

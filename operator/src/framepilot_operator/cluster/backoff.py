"""How long to wait before starting a child that died again: exponential, capped, with full jitter above a floor.

Jitter keeps instances that died together (a driver update, a full disk) from starting together. Source: M. Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015; here half of the delay is kept as a floor.
"""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 0.5
LONGEST_S: Final = 30.0


def restart_delay(attempt: int, jitter: float) -> float:
    """Seconds to wait before start number `attempt` in a row (1: the first after a death).

    `jitter` is a random number in 0..1; the result is between one half of and the whole exponential delay.
    """
    # An exponent beyond 16 is far above the cap; limiting it keeps the power a small number.
    delay = min(LONGEST_S, FIRST_S * 2.0 ** min(attempt - 1, 16))
    return delay * (0.5 + 0.5 * jitter)

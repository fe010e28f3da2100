"""How long a batch really takes, as a factor of what was planned: measured ones, drawn at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

ServiceTimes = Callable[[Random], float]

P99_DEVIATIONS: Final = 2.3263
"""How many standard deviations above the median of a normal distribution its 99th percentile lies."""


def exact(_random: Random) -> float:
    """Every batch takes just as long as planned."""
    return 1.0


def measured(factors: Sequence[float]) -> ServiceTimes:
    """What was measured, each as likely as the others.

    Raises:
        ValueError: there is none, or one is not above 0.
    """
    known = tuple(factors)
    if not known or min(known) <= 0:
        raise ValueError("service times need at least one measured factor, all of them above 0")
    return lambda random: random.choice(known)


def between(p50: float, p99: float) -> ServiceTimes:
    """Log-normal, by the median and the 99th percentile of a profile, both as factors of what was planned.

    Raises:
        ValueError: not 0 < p50 <= p99.
    """
    if not 0 < p50 <= p99:
        raise ValueError(f"a spread needs 0 < p50 <= p99, not {p50:g} and {p99:g}")
    deviation = math.log(p99 / p50) / P99_DEVIATIONS
    return lambda random: p50 * math.exp(random.gauss(0, deviation))

"""What the instances of one module ask for: how much load there must be in all so that each collects in time.

An instance collects at T - P, the total load less that of the instances before it, so it answers within d + c / (T - P),
where c / 1000 is how many arrivals its batch waits for. Where that is none, it answers within d at any load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from framepilot_operator.planning.pieces import CLOSE

Limit = tuple[float, float, float]
"""An instance: its duration d, its c, and the load P before it."""


def latency(limits: Sequence[Limit], total: float) -> float:
    """The worst case of all, milliseconds."""
    return max([d + c / (total - before) if c else d for d, c, before in limits])


def slowest(limits: Sequence[Limit], budget: float) -> Limit:
    """The one that asks for the largest total load, if all must keep the budget; each waits for something."""
    return max(limits, key=lambda limit: limit[2] + limit[1] / (budget - limit[0]))


def overtaken(limits: Sequence[Limit], first: Limit, low: float, high: float) -> tuple[float, Limit | None]:
    """Up to which budget, at most `high`, the one that is the slowest at `low` stays so, and which one is after it.

    Two ask for the same load where P + c / (budget - d) is the same: a quadratic equation.
    """
    duration, product, before = first
    soonest, end, following = low * (1 + 10 * CLOSE), high * (1 - 10 * CLOSE), None
    for other in limits:
        if other is first:
            continue
        d, c, p = other
        square = before - p
        linear = product - c - square * (duration + d)
        constant = square * duration * d - product * d + c * duration
        under = linear * linear - 4 * square * constant
        if under <= 0:
            continue
        half = -0.5 * (linear + math.copysign(math.sqrt(under), linear))
        for at in (half / square if square else math.inf, constant / half if half else math.inf):
            if soonest < at < end:
                end, following = at, other
    return (high if following is None else end), following

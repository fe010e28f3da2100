"""What a millisecond is worth at each module of any graph: each way that is too long gets a price until it is not.

The same bound as in `multipliers.py`, where a graph is not made of series and parallel parts. The worth of a
millisecond at a module is the sum of the prices of the ways that it is on. Prices are raised or lowered one way after
the other until each way just keeps the objective; so that this comes to rest, the corners of the hulls are rounded off.
Whatever prices come out, the bound that they give is valid.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from framepilot_operator.planning.hull import Hull, segments
from framepilot_operator.planning.multipliers import Multipliers
from framepilot_operator.planning.split import Worth, longest_way

MOST_WAYS: Final = 24
SWEEPS: Final = 12
HALVINGS: Final = 24
NEAR: Final = 1e-4
"""A way that is longer than the objective by this share is short enough."""


def way_multipliers(inputs: Sequence[Sequence[int]], hulls: Sequence[Hull], objective_ms: float) -> Multipliers:
    """Multipliers for modules of which each stands after its `inputs`."""
    demands = [_demand(each) for each in hulls]
    prices: dict[tuple[int, ...], float] = {}
    worth = [0.0] * len(inputs)
    budgets = [demand.budget(0.0) for demand in demands]
    for _ in range(MOST_WAYS):
        longest, way = longest_way(inputs, budgets)
        if longest <= objective_ms * (1 + NEAR) or way in prices:
            break
        prices[way] = 0.0
        for _ in range(SWEEPS if len(prices) > 1 else 1):
            moved = 0.0
            for each, before in list(prices.items()):
                after = prices[each] = _price(each, before, demands, worth, objective_ms)
                moved = max(moved, abs(after - before) / max(before, after, 1e-300))
                for index in each:
                    worth[index] = max(worth[index] + after - before, 0.0)
            if moved < NEAR:
                break
        budgets = [demand.budget(slope) for demand, slope in zip(demands, worth, strict=True)]
    worth = [sum(price for way, price in prices.items() if index in way) for index in range(len(inputs))]
    return Multipliers(Worth(tuple(worth), sum(prices.values())), tuple(budgets))


@dataclass(frozen=True, slots=True)
class _Demand:
    """How long a budget a module takes if a millisecond costs a slope: a line between the middles of its segments."""

    slopes: tuple[float, ...]
    budgets: tuple[float, ...]

    def budget(self, slope: float) -> float:
        at = bisect_left(self.slopes, slope)
        if at == 0:
            return self.budgets[0]
        if at == len(self.slopes):
            return self.budgets[-1]
        low, high = self.slopes[at - 1], self.slopes[at]
        share = (slope - low) / (high - low) if high > low else 1.0
        return self.budgets[at - 1] + share * (self.budgets[at] - self.budgets[at - 1])


def _demand(corners: Hull) -> _Demand:
    """Slopes ascending, budgets descending."""
    at = corners[0][0]
    points: list[tuple[float, float]] = []
    for slope, length in segments(corners):
        points.append((slope, at + length / 2))
        at += length
    steepest = points[0][0] if points else 1.0
    points = [(2 * steepest, corners[0][0]), *points, (0.0, corners[-1][0])]
    return _Demand(tuple(slope for slope, _ in reversed(points)), tuple(budget for _, budget in reversed(points)))


def _price(
    way: tuple[int, ...], price: float, demands: Sequence[_Demand], worth: Sequence[float], objective_ms: float
) -> float:
    """The least price at which a way keeps the objective, all else as it is."""
    others = [(demands[index], max(worth[index] - price, 0.0)) for index in way]

    def fits(candidate: float) -> bool:
        return sum(demand.budget(other + candidate) for demand, other in others) <= objective_ms

    if fits(0.0):
        return 0.0
    high = max(demand.slopes[-1] for demand, _ in others)
    low = high * 1e-9
    if not fits(high):
        return high
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high

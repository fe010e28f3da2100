"""What a module's greedy plans cost, for many budgets at once: of each configuration in rank order as many as may be.

For one budget such a plan is easily had, with a few numbers of dummies to choose from, and it is nearly always the
best: what a search finds beyond these matters seldom, but *which budget* they are made for matters much, since their
shape changes at hundreds of budgets. So all budgets of a fine grid are looked at in one sweep over the configurations,
and plans are made only of those that are chosen (`ModuleSearch.cheapest`). What is here follows `ModuleSearch._greedy`
step by step, on arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framepilot_operator.planning.pieces import CLOSE

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]

DUMMIES: Final = (0.0, 0.03, 0.06, 0.12, 0.25, 0.37, 0.5, 0.75)
"""Dummies that greedy plans are made with, as shares of the throughput of their first configuration, the optimum having
less than one: with more than the last instance needs, a better configuration before it may be in time."""


class Ranked(NamedTuple):
    """Configurations that are fast enough for some budget, best rank first, each field a list with an entry for each.

    A batch of one waits for `product` / 1000 arrivals; `unit` is the price of a request per second.
    """

    ranks: Sequence[int]
    durations: Sequence[float]
    throughputs: Sequence[float]
    products: Sequence[float]
    least: Sequence[float]
    prices: Sequence[float]
    units: Sequence[float]


def greedy_costs(ranked: Ranked, rate: float, budgets_ms: Floats, *, whole: bool) -> tuple[Floats, Numbers]:
    """The cost of the best greedy plan for each budget, infinite where it is too short; and which of `DUMMIES` it has.

    Args:
        ranked: the configurations.
        rate: requests per second.
        budgets_ms: one after the other.
        whole: whether the last instance costs its full price.
    """
    durations, throughputs = np.array(ranked.durations)[:, np.newaxis], np.array(ranked.throughputs)[:, np.newaxis]
    # The rate at which an instance has to collect to be in time, and how much of it others have to wait for.
    needed = np.full((len(durations), len(budgets_ms)), np.inf)
    room = budgets_ms - durations
    np.divide(np.array(ranked.products)[:, np.newaxis], room, out=needed, where=room > 0)
    awaited = np.maximum(needed - throughputs, 0.0)
    begins = awaited <= rate - throughputs * (1 - CLOSE)
    first = np.where(begins.any(axis=0), throughputs[begins.argmax(axis=0), 0], 0.0)
    left = rate + np.multiply.outer(DUMMIES, first)
    begun, costs = np.zeros_like(left), np.full_like(left, np.inf)
    going = np.broadcast_to(budgets_ms > 0, left.shape).copy()
    for index in np.flatnonzero((room > 0).any(axis=1)).tolist():
        throughput, enough = ranked.throughputs[index], needed[index]
        count = np.floor((left - awaited[index]) * ((1 + CLOSE) / throughput))
        np.maximum(count, 0.0, out=count)
        left -= count * throughput
        begun += count * ranked.prices[index]
        most = throughput * (1 + CLOSE)
        ends = going & (enough <= most)
        ends &= left <= most
        last = ranked.prices[index] if whole else ranked.units[index] * np.maximum(left, enough)
        np.minimum(costs, begun + last, out=costs, where=ends)
        going &= ~(ends & (left >= enough))
        if not going.any():
            break
    best = costs.argmin(axis=0)
    return costs[best, np.arange(len(budgets_ms))], best

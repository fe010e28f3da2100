"""The shape of a module's plan, and what it costs with each budget: convex arcs.

A shape is how many saturated instances of each configuration there are, and which one is last. What is left to choose
is the total load T: latencies fall with it, and the cost rises along the unit price of the last instance
(`curve.py` says more, and looks for the shapes that are worth having). An instance with the loads P before it collects
at T - P, so it answers within d + c / (T - P), where c / 1000 is how many arrivals its batch waits for. Where those are
none it answers within d: if it is the slowest, dummies make the plan no faster, and its arc begins there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from framepilot_operator.planning.allocation import CostModel
from framepilot_operator.planning.pieces import CLOSE, Piece
from framepilot_operator.planning.workload import WorkloadModule


class Shape(NamedTuple):
    """A plan up to its total load: saturated instances of configurations (by rank), and the rank of the last one."""

    saturated: tuple[tuple[int, int], ...]
    last: int


TIED: Final = 1e-9
"""Relative difference of two loads below which they count as the same."""

Limit = tuple[float, float, float]
"""An instance: its duration d, its c, the loads P before it."""


def shape_pieces(module: WorkloadModule, shape: Shape, longest_ms: float, cost_model: CostModel) -> list[Piece]:
    """What a shape costs with budgets up to `longest_ms`; none if it cannot carry the rate, or not as fast."""
    total, begun = 0.0, 0.0
    every: list[Limit] = []
    for rank, count in shape.saturated:
        configuration = module.configurations[rank]
        duration, throughput = configuration.latency_ms, configuration.throughput
        total += count * throughput
        begun += count * configuration.price
        every.append((duration, 1000.0 * configuration.awaited, total - throughput))
    last = module.configurations[shape.last]
    most = total + last.throughput
    every.append((last.latency_ms, 1000.0 * last.awaited, total))
    low = latency_ms(every, most)
    if most < module.rate * (1 - CLOSE) or low > longest_ms:
        return []
    least = min(max(module.rate, total), most)
    high = latency_ms(every, least)
    unit = last.price / last.throughput
    # Dummies cost nothing where the last instance is paid for in full.
    if cost_model == "whole":
        return [Piece(low, low, begun + last.price, 0.0, 0.0, shape)]
    if least >= most or high <= low:
        return [Piece(low, low, begun + unit * (least - total), 0.0, 0.0, shape)]
    return arcs(every, begun - unit * total, unit, low, min(high, longest_ms), shape)


def arcs(every: Sequence[Limit], base: float, unit: float, low: float, high: float, shape: Shape) -> list[Piece]:
    """The cost `base + unit x T` from one budget to another, in pieces: one for each instance that is the slowest."""
    made: list[Piece] = []
    # What waits for nothing asks for no load.
    waiting = [limit for limit in every if limit[1]]
    slowest = _slowest(waiting, low)
    while True:
        duration, product, before = slowest
        end = _overtaken(waiting, slowest, low, high)
        made.append(Piece(low, end or high, base + unit * before, unit * product, duration, shape))
        if end is None:
            return made
        low, slowest = end, _slowest(waiting, end)


def latency_ms(limits: Sequence[Limit], total: float) -> float:
    """That of the slowest instance, with a total load; one that gets nothing never fills its batch."""
    return max([(d + c / (total - before) if total > before else math.inf) if c else d for d, c, before in limits])


def _slowest(limits: Sequence[Limit], budget: float) -> Limit:
    """The instance that asks for the largest total load, if all must keep the budget, or a little more: of those that
    ask for the same, the one whose load falls slowest with the budget."""
    asked = [before + product / (budget - duration) for duration, product, before in limits]
    least = max(asked) * (1 - TIED)
    tied = [limit for limit, load in zip(limits, asked, strict=True) if load >= least]
    return min(tied, key=lambda limit: limit[1] / (budget - limit[0]) ** 2)


def _overtaken(every: Sequence[Limit], slowest: Limit, low: float, high: float) -> float | None:
    """Up to where an instance is the slowest, before `high`; None: up to there.

    Two ask for the same load where before + product / (budget - duration) is the same: a quadratic equation.
    """
    duration, product, before = slowest
    soonest, end = low * (1 + 10 * CLOSE), high * (1 - 10 * CLOSE)
    found: float | None = None
    for other in every:
        if other is slowest:
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
                end = found = at
    return found

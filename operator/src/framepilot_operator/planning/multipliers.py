"""What a millisecond is worth at each module: the multipliers of a lower bound on the cost of all splits.

Each module's cost is replaced by its convex hull. Hulls add up along a program of series and parallel parts: in series
by taking the steepest segments first, in parallel by adding costs at equal budgets. The slope of the whole at the
objective is what a millisecond is worth; going back down the program, parts in series are worth the same, and parts
side by side share it. For every choice of budgets that keeps the objective then

    cost >= sum over modules of min (cost + worth x budget)  -  worth of the whole x objective    (Lagrange).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from framepilot_operator.planning.hull import Hull, segments
from framepilot_operator.planning.series_parallel import Program
from framepilot_operator.planning.split import Worth


@dataclass(frozen=True, slots=True)
class Multipliers:
    """The worth of a millisecond, and a budget that each module could have."""

    of_modules: Worth
    budgets_ms: tuple[float, ...]


def multipliers(program: Program, hulls: Sequence[Hull], objective_ms: float) -> Multipliers:
    """The best multipliers as far as these hulls of each module's cost tell."""
    hulls = [*hulls]
    for step in program.steps:
        joined = _series if step.kind == "series" else _parallel
        hulls.append(joined(hulls[step.first], hulls[step.second]))
    worth = [0.0] * len(hulls)
    budgets = [0.0] * len(hulls)
    budgets[-1] = min(max(objective_ms, hulls[-1][0][0]), hulls[-1][-1][0])
    worth[-1] = _slopes(hulls[-1], budgets[-1])[0]
    for offset in reversed(range(len(program.steps))):
        step, part = program.steps[offset], program.modules + offset
        first, second = hulls[step.first], hulls[step.second]
        if step.kind == "series":
            worth[step.first] = worth[step.second] = worth[part]
            budgets[step.first], budgets[step.second] = _shared(first, second, budgets[part])
        else:
            worth[step.first], worth[step.second] = _parted(first, second, budgets[part], worth[part])
            budgets[step.first] = min(budgets[part], first[-1][0])
            budgets[step.second] = min(budgets[part], second[-1][0])
    modules = program.modules
    return Multipliers(Worth(tuple(worth[:modules]), worth[-1]), tuple(budgets[:modules]))


def _series(first: Hull, second: Hull) -> Hull:
    budget, cost = first[0][0] + second[0][0], first[0][1] + second[0][1]
    corners = [(budget, cost)]
    for slope, length in sorted(segments(first) + segments(second), reverse=True):
        budget, cost = budget + length, cost - slope * length
        corners.append((budget, cost))
    return corners


def _parallel(first: Hull, second: Hull) -> Hull:
    low = max(first[0][0], second[0][0])
    budgets = sorted({low} | {budget for budget, _ in first + second if budget > low})
    costs = [a + b for a, b in zip(_costs(first, budgets), _costs(second, budgets), strict=True)]
    return list(zip(budgets, costs, strict=True))


def _costs(corners: Hull, budgets: Sequence[float]) -> list[float]:
    costs: list[float] = []
    at = 0
    for budget in budgets:
        while at + 1 < len(corners) and corners[at + 1][0] <= budget:
            at += 1
        left = corners[at]
        if at + 1 == len(corners):
            costs.append(left[1])
        else:
            right = corners[at + 1]
            costs.append(left[1] + (right[1] - left[1]) * (budget - left[0]) / (right[0] - left[0]))
    return costs


def _slopes(corners: Hull, budget: float) -> tuple[float, float]:
    """What a millisecond saves after a budget, and before it."""
    before, after = math.inf, 0.0
    start = corners[0][0]
    for slope, length in segments(corners):
        end = start + length
        if budget >= end:
            before = slope
        elif budget > start:
            return slope, slope
        else:
            after = slope
            break
        start = end
    if budget > corners[-1][0]:
        before = 0.0
    return after, before


def _shared(first: Hull, second: Hull, budget: float) -> tuple[float, float]:
    """How two parts in series share a budget: the steepest segments first."""
    shares = [first[0][0], second[0][0]]
    left = budget - sum(shares)
    ordered = [(slope, length, 0) for slope, length in segments(first)]
    ordered += [(slope, length, 1) for slope, length in segments(second)]
    for _, length, which in sorted(ordered, reverse=True):
        taken = min(max(left, 0.0), length)
        shares[which] += taken
        left -= taken
    return shares[0], shares[1]


def _parted(first: Hull, second: Hull, budget: float, worth: float) -> tuple[float, float]:
    """How two parts side by side share what a millisecond is worth: each within its own slopes."""
    (first_after, first_before), (second_after, second_before) = _slopes(first, budget), _slopes(second, budget)
    low = max(first_after, worth - second_before, 0.0)
    high = min(first_before, worth - second_after, worth)
    share = min(max((low + high) / 2, 0.0), worth)
    return share, worth - share

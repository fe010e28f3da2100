"""A good choice of a piece for each module, by dynamic programming along a program of series and parallel parts.

A part is known by its front: for each cell of a grid of budgets the cheapest way to keep one in it. Of two parts in
series budgets and costs add up; of two side by side costs do, and the longer budget counts. What comes to more than
`spare` above the least, at what a millisecond is worth, is left out, as everywhere in the search. The grid is coarse,
and an arc is known at a few budgets only, so this proves nothing; but it sees what all modules together can do, where a
search that takes one module after the other sees what is near its first choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from framepilot_operator.planning.pieces import CLOSE, Piece
from framepilot_operator.planning.series_parallel import Program
from framepilot_operator.planning.split import Worth

CELLS: Final = 200
MIDDLES: Final = (0.25, 0.6, 1.0)
"""Where an arc is known besides its beginning."""
MOST: Final = 4
"""The choices that are made: of the cheapest ways of the whole."""


class _Way(NamedTuple):
    """One way through a part; `reduced` is cost + worth x budget. A joined part's is made of two ways, by number."""

    reduced: float
    budget: float
    cost: float
    made_of: Piece | tuple[int, int]


class _Front(NamedTuple):
    """The ways of a part, best reduced first; none comes to more than `limit`."""

    worth: float
    limit: float
    ways: list[_Way]


def combined(
    program: Program,
    pieces: Sequence[Sequence[Piece]],
    worth: Worth,
    least: Sequence[float],
    spare: float,
    objective_ms: float,
) -> list[tuple[Piece, ...]]:
    """Choices of one piece for each module, the most promising first; none if no way is known to keep the objective.

    Args:
        program: of the graph of modules.
        pieces: of each module.
        worth: of a millisecond at each module.
        least: what each module's cost + worth x budget is at least.
        spare: how much more than all of these together a choice may come to.
        objective_ms: for the longest way through the modules.
    """
    grid = _Grid(objective_ms)
    fronts = [
        grid.front(each, slope, reduced + spare)
        for each, slope, reduced in zip(pieces, worth.modules, least, strict=True)
    ]
    for step in program.steps:
        joined = grid.series if step.kind == "series" else grid.parallel
        fronts.append(joined(fronts[step.first], fronts[step.second], spare))
    whole = fronts[-1].ways
    cheapest = sorted(range(len(whole)), key=lambda number: whole[number].cost)[:MOST]
    return [_chosen(program, fronts, number) for number in cheapest]


class _Grid:
    """Cells of budgets up to the objective."""

    def __init__(self, objective_ms: float) -> None:
        self._longest = objective_ms * (1 + CLOSE)
        self._scale = CELLS / self._longest

    def front(self, pieces: Sequence[Piece], worth: float, limit: float) -> _Front:
        cells: dict[int, _Way] = {}
        for piece in pieces:
            if piece.reduced(worth) > limit:
                continue
            for budget in _budgets(piece):
                cost, cell = piece.cost(budget), int(budget * self._scale)
                reduced = cost + worth * budget
                if budget <= self._longest and reduced <= limit and (cell not in cells or cost < cells[cell].cost):
                    cells[cell] = _Way(reduced, budget, cost, piece)
        return _Front(worth, limit, _falling([cells[cell] for cell in sorted(cells)]))

    def series(self, first: _Front, second: _Front, spare: float) -> _Front:
        limit = first.limit + second.limit - spare
        longest, scale = self._longest, self._scale
        budgets, costs, made_of = self._cells()
        for here, (reduced, budget, cost, _) in enumerate(first.ways):
            rest = limit - reduced
            for there, (other_reduced, other_budget, other_cost, _) in enumerate(second.ways):
                if other_reduced > rest:
                    break
                both, total = budget + other_budget, cost + other_cost
                if both <= longest and total < costs[cell := int(both * scale)]:
                    budgets[cell], costs[cell], made_of[cell] = both, total, (here, there)
        return self._kept(first.worth, limit, budgets, costs, made_of)

    def parallel(self, first: _Front, second: _Front, spare: float) -> _Front:
        limit, worth = first.limit + second.limit - spare, first.worth + second.worth
        scale = self._scale
        budgets, costs, made_of = self._cells()
        for here, (reduced, budget, cost, _) in enumerate(first.ways):
            rest = limit - reduced
            for there, (other_reduced, other_budget, other_cost, _) in enumerate(second.ways):
                if other_reduced > rest:
                    break
                both, total = max(budget, other_budget), cost + other_cost
                if total < costs[cell := int(both * scale)] and total + worth * both <= limit:
                    budgets[cell], costs[cell], made_of[cell] = both, total, (here, there)
        return self._kept(worth, limit, budgets, costs, made_of)

    def _cells(self) -> tuple[list[float], list[float], list[tuple[int, int]]]:
        return [0.0] * (CELLS + 1), [math.inf] * (CELLS + 1), [(0, 0)] * (CELLS + 1)

    def _kept(
        self,
        worth: float,
        limit: float,
        budgets: Sequence[float],
        costs: Sequence[float],
        made_of: Sequence[tuple[int, int]],
    ) -> _Front:
        ways = [
            _Way(cost + worth * budget, budget, cost, parts)
            for budget, cost, parts in zip(budgets, costs, made_of, strict=True)
            if cost < math.inf
        ]
        return _Front(worth, limit, _falling(ways))


def _budgets(piece: Piece) -> list[float]:
    if not piece.rise or piece.high <= piece.low:
        return [piece.low]
    return [piece.low, *(piece.low + share * (piece.high - piece.low) for share in MIDDLES)]


def _falling(ways: Sequence[_Way]) -> list[_Way]:
    """Of ways by their budget those that are cheaper than all shorter ones, best reduced first."""
    kept: list[_Way] = []
    for way in ways:
        if not kept or way.cost < kept[-1].cost:
            kept.append(way)
    return sorted(kept, key=lambda way: way.reduced)


def _chosen(program: Program, fronts: Sequence[_Front], number: int) -> tuple[Piece, ...]:
    """The piece of each module in a way of the whole."""
    chosen: dict[int, Piece] = {}
    left = [(len(fronts) - 1, number)]
    while left:
        part, number = left.pop()
        made_of = fronts[part].ways[number].made_of
        if isinstance(made_of, Piece):
            chosen[part] = made_of
        else:
            step = program.steps[part - program.modules]
            left += [(step.first, made_of[0]), (step.second, made_of[1])]
    return tuple(chosen[index] for index in range(program.modules))

"""Better choices of a piece for each module of any graph: by the times at which modules end, one way after the other.

A module's budget is what lies between the latest end of its inputs and its own, so the ends say what everything costs,
and no way is too long as long as nothing ends after the objective. The ends of all modules on one way through the graph
are chosen together, by dynamic programming over a grid, while the others stay; what that does to modules beside the way
counts. Ways are taken in turn until none of them gets cheaper.

Where a module on the way has other inputs too, it can begin earlier in two manners: only as far as those others end, or
they come along. Both are tried.

A coarse grid over all budgets, then a fine one around those of the best that is known, as in `combination.py`, which
takes all modules at once, but only of graphs that are made of series and parallel parts. Proves nothing, either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from framepilot_operator.planning.effort import Effort
from framepilot_operator.planning.greedy import Floats, Numbers
from framepilot_operator.planning.grid import CELLS, Grid, Plans, falling
from framepilot_operator.planning.pieces import Piece

REACH: Final = 25
"""How many strides an end is moved by at most while its way is taken."""
FAR: Final = (4, 1)
"""Cells of a stride, where nothing was chosen before,"""
NEAR: Final = (1,)
"""and where all but the last end is known."""
MOVES: Final = np.arange(-REACH, REACH + 1)
SWEEPS: Final = 6
"""How often the ways are taken in turn at most."""
CLEARLY: Final = 1e-9
"""So much cheaper a way has to become to be taken so."""
IMPOSSIBLE: Final = 1e18
"""What a budget that is too short costs: less of them is better than more."""


class _Table(NamedTuple):
    """What a module costs with fewer than `first` cells, with `first`, and with each number above: never more for more.

    `each` are the same numbers as `costs`. `at` says which cell, from `first` on, each of them but the first is of, and
    `which` what piece there is at a cell.
    """

    first: int
    costs: Floats
    each: list[float]
    at: Numbers
    which: Numbers


class Descent:
    """Choices of one piece for each module that may keep the objective, each with another rounding; iterate."""

    def __init__(
        self,
        inputs: Sequence[Sequence[int]],
        modules: Sequence[Plans],
        budgets_ms: Sequence[float],
        objective_ms: float,
        effort: Effort,
        *,
        fine: bool,
    ) -> None:
        """Begin with `budgets_ms`, those of a split that keeps the objective; a module on a way takes a step."""
        self._inputs = inputs
        self._outputs = [
            [after for after, before in enumerate(inputs) if index in before] for index in range(len(inputs))
        ]
        self._grid = Grid(modules, [each.pieces for each in modules], objective_ms, fine=fine)
        whole, rounded = self._grid.whole, len(inputs)
        cells = [math.ceil(budget / self._grid.cell_ms - CLEARLY) for budget in budgets_ms]
        self._tables: list[_Table] = []
        for index, center in enumerate(cells):
            first, last = (max(center - CELLS // 2, 0), center + CELLS // 2) if fine else (0, whole)
            self._tables.append(self._table(index, first, last + rounded))
        self._ends: list[int] = []
        for index, budget in enumerate(cells):
            self._ends.append(self._start(index) + budget)
        # What is rounded off one module may be given to another.
        latest = max(*self._ends, whole + rounded // 2)
        self._latest = range(latest, whole - 1, -1) if fine else (latest, whole)
        self._ways = _ways(inputs, self._outputs)
        # Whether a module on the way has inputs beside it.
        self._meets = [any(set(inputs[index]) - set(way) for index in way) for way in self._ways]
        self._effort = effort

    def __iter__(self) -> Iterator[tuple[Piece, ...]]:
        for number, last in enumerate(self._latest):
            self._end_at(last)
            for stride in NEAR if number else FAR:
                self._descend(stride)
            pieces = self._pieces()
            if pieces is not None:
                yield pieces

    def _table(self, index: int, first: int, last: int) -> _Table:
        table = self._grid.table(index, first, last)
        least, at = falling(table.costs)
        costs = np.concatenate(([IMPOSSIBLE], np.minimum(least, IMPOSSIBLE)))
        return _Table(first, costs, costs.tolist(), at, table.which)

    def _costs(self, index: int, cells: Numbers) -> Floats:
        table = self._tables[index]
        return table.costs[np.minimum(np.maximum(cells - (table.first - 1), 0), len(table.each) - 1)]

    def _cost(self, index: int, cells: int) -> float:
        table = self._tables[index]
        at = cells - table.first + 1
        return table.each[max(at, 0)] if at < len(table.each) else table.each[-1]

    def _start(self, index: int) -> int:
        return max((self._ends[each] for each in self._inputs[index]), default=0)

    def _total(self) -> float:
        ends, total = self._ends, 0.0
        for index, before in enumerate(self._inputs):
            start = 0
            for each in before:
                start = max(start, ends[each])
            total += self._cost(index, ends[index] - start)
        return total

    def _end_at(self, last: int) -> None:
        """Whatever nothing waits for ends at the very last."""
        self._ends = [
            last if not after else min(end, last) for end, after in zip(self._ends, self._outputs, strict=True)
        ]

    def _descend(self, stride: int) -> None:
        total, changes = self._total(), 0
        seen = [-1] * len(self._ways)
        for _ in range(SWEEPS):
            for number, way in enumerate(self._ways):
                if seen[number] == changes:
                    continue
                for together in (False, True) if self._meets[number] else (False,):
                    if not self._effort.spend(len(way)):
                        return
                    before = self._ends
                    self._ends = self._taken(way, stride, together=together)
                    found = self._total()
                    if found < total * (1 - CLEARLY):
                        total = found
                        changes += 1
                    else:
                        self._ends = before
                seen[number] = changes

    def _taken(self, way: Sequence[int], stride: int, *, together: bool) -> list[int]:
        """The ends after those on a way were chosen; `together`: what the next one on it waits for comes along."""
        on_way = set(way)
        places: list[Numbers] = []
        choices: list[Numbers] = []
        least, came = np.zeros(1), np.zeros(1, dtype=np.intp)
        for position, index in enumerate(way):
            end = self._ends[index]
            # Whatever nothing waits for may take all the time there is.
            here = end + stride * MOVES if self._outputs[index] else np.array([end])
            others = [each for each in self._inputs[index] if each not in on_way]
            start = came
            if together and position:
                least = least + self._earlier(others, came)
            else:
                start = np.maximum(came, max((self._ends[each] for each in others), default=0))
            costs = self._costs(index, here[:, np.newaxis] - start) + least
            choice = costs.argmin(axis=1)
            least = costs[np.arange(len(here)), choice] + self._beside(index, here, on_way)
            choices.append(choice)
            places.append(here)
            came = here
        ends = [*self._ends]
        at = int(least.argmin())
        for index, here, choice in zip(reversed(way), reversed(places), reversed(choices), strict=True):
            ends[index] = int(here[at])
            at = int(choice[at])
        if together:
            for before, index in pairwise(way):
                for each in self._inputs[index]:
                    ends[each] = min(ends[each], ends[before]) if each not in on_way else ends[each]
        return ends

    def _earlier(self, modules: Sequence[int], latest: Numbers) -> Floats:
        """What it costs more if modules end no later than this."""
        costs = np.zeros(len(latest))
        for each in modules:
            end, start = self._ends[each], self._start(each)
            costs += self._costs(each, np.minimum(latest, end) - start) - self._cost(each, end - start)
        return costs

    def _beside(self, index: int, here: Numbers, on_way: set[int]) -> Floats:
        """What the modules beside the way cost that wait for this one, and for none that is later on the way."""
        costs = np.zeros(len(here))
        for each in self._outputs[index]:
            if each in on_way or any(other > index and other in on_way for other in self._inputs[each]):
                continue
            others = max((self._ends[other] for other in self._inputs[each] if other not in on_way), default=0)
            costs += self._costs(each, self._ends[each] - np.maximum(here, others))
        return costs

    def _pieces(self) -> tuple[Piece, ...] | None:
        pieces: list[Piece] = []
        for index, end in enumerate(self._ends):
            table = self._tables[index]
            position = min(end - self._start(index) - table.first, len(table.at) - 1)
            if position < 0:
                return None
            at = int(table.at[position])
            piece = self._grid.piece(index, int(table.which[at]), table.first + at)
            if piece is None:
                return None
            pieces.append(piece)
        return tuple(pieces)


def _ways(inputs: Sequence[Sequence[int]], outputs: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Ways through the graph such that each step from a module to another is on one of them."""
    left = {(before, index) for index, each in enumerate(inputs) for before in each}
    ways: list[tuple[int, ...]] = [(index,) for index in range(len(inputs)) if not inputs[index] and not outputs[index]]
    while left:
        way = [*min(left)]
        while inputs[way[0]]:
            way.insert(0, max(inputs[way[0]], key=lambda each: ((each, way[0]) in left, each)))
        while outputs[way[-1]]:
            way.append(max(outputs[way[-1]], key=lambda each: ((way[-1], each) in left, -each)))
        left -= set(pairwise(way))
        ways.append(tuple(way))
    return ways

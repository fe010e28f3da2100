"""A good choice of a piece for each module, by dynamic programming along a program of series and parallel parts.

Budgets are counted in cells of a grid, and a part is known by what it costs at least with each number of cells. Of two
parts in series the numbers add up, so every way to share a number between them is looked at (a min-plus convolution);
of two side by side both have the same number, and costs add up. What comes to more than `spare` above the least, at
what a millisecond is worth, is left out, as everywhere in the search.

A budget counts as the nearest number of cells, so that what is rounded off one module is mostly given to another; all
ways near the objective are therefore tried, and how they really share it is settled afterwards (`split.py`). A coarse
grid over all budgets finds where the best choice is, a fine one around its budgets finds the choice. That proves
nothing, but it sees what all modules together can do, where a search that takes one module after the other sees what
is near its first choices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from framepilot_operator.planning.greedy import Floats, Numbers
from framepilot_operator.planning.grid import CELLS, Grid, Plans, falling
from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.series_parallel import Program
from framepilot_operator.planning.split import Worth


class _Part(NamedTuple):
    """What a part costs at least with `first` cells, and each number above; `limit` is what it may come to, by `worth`.

    Of a module `one` is which of its pieces that is, or -1 for a plan that is to be made, and `other` is not used; of
    two parts that were joined `one` and `other` are the positions in both.
    """

    first: int
    costs: Floats
    worth: float
    limit: float
    one: Numbers
    other: Numbers


class Combination:
    """Choices of one piece for each module that may keep the objective; iterate, the most promising come first."""

    def __init__(
        self,
        program: Program,
        modules: Sequence[Plans],
        worth: Worth,
        least: Sequence[float],
        spare: float,
        objective_ms: float,
        around_ms: Sequence[float] | None = None,
    ) -> None:
        """Take all modules together.

        Args:
            program: of the graph of modules.
            modules: what is known of their plans.
            worth: of a millisecond at each module.
            least: what each module's cost + worth x budget is at least.
            spare: how much more than all of these together a choice may come to.
            objective_ms: for the longest way through the modules.
            around_ms: budgets of the modules around which choices are looked for; None: anywhere.
        """
        self._program = program
        near = [
            [piece for piece in each.pieces if piece.reduced(slope) <= reduced + spare]
            for each, slope, reduced in zip(modules, worth.modules, least, strict=True)
        ]
        self._grid = Grid(modules, near, objective_ms, fine=around_ms is not None)
        # As many cells as may have been rounded off.
        self._slack = program.modules
        self._centers = None if around_ms is None else [round(each / self._grid.cell_ms) for each in around_ms]
        self._spare = spare
        self._parts: list[_Part] = []
        for index, (slope, reduced) in enumerate(zip(worth.modules, least, strict=True)):
            self._parts.append(self._module(index, slope, reduced + spare))
        for step in program.steps:
            join = self._series if step.kind == "series" else self._parallel
            self._parts.append(join(step.first, step.second))

    def __iter__(self) -> Iterator[tuple[Piece, ...]]:
        first, costs = self._parts[-1].first, self._parts[-1].costs
        known: set[tuple[tuple[int, int], ...]] = set()
        for cells in range(self._grid.whole + self._slack, self._grid.whole - self._slack - 1, -1):
            at = cells - first
            if 0 <= at < len(costs) and math.isfinite(costs[at]):
                numbers = self._numbers(at)
                if numbers not in known:
                    known.add(numbers)
                    pieces = [self._grid.piece(index, *each) for index, each in enumerate(numbers)]
                    found = tuple(piece for piece in pieces if piece is not None)
                    if len(found) == len(pieces):
                        yield found

    def _window(self, part: int) -> tuple[int, int]:
        """The first and the last number of cells that are looked at in a part."""
        if self._centers is None:
            return 0, self._grid.whole + self._slack
        if part == len(self._centers):
            # Parts are made in order, and their centers with them.
            step = self._program.steps[part - self._program.modules]
            one, other = self._centers[step.first], self._centers[step.second]
            self._centers.append(one + other if step.kind == "series" else max(one, other))
        center = self._centers[part]
        return max(center - CELLS // 2, 0), min(center + CELLS // 2, self._grid.whole) + self._slack

    def _module(self, index: int, worth: float, limit: float) -> _Part:
        first, costs, which = self._grid.table(index, *self._window(index))
        return self._kept(first, costs, worth, limit, which, which)

    def _series(self, one: int, other: int) -> _Part:
        a, b = self._parts[one], self._parts[other]
        first, last = self._window(len(self._parts))
        begin, size = first - a.first - b.first, last - first + 1
        # Row k has all ways to share begin + k cells: a's costs, beside b's backwards.
        padded = np.full(2 * len(a.costs) + len(b.costs) + abs(begin) + size, np.inf)
        origin = len(a.costs) + max(-begin, 0)
        padded[origin : origin + len(b.costs)] = b.costs
        stride = padded.strides[0]
        ways = as_strided(padded[origin + begin :], (size, len(a.costs)), (stride, -stride)) + a.costs
        in_a = ways.argmin(axis=1)
        numbers = np.arange(size)
        return self._kept(
            first, ways[numbers, in_a], a.worth, a.limit + b.limit - self._spare, in_a, begin + numbers - in_a
        )

    def _parallel(self, one: int, other: int) -> _Part:
        a, b = self._parts[one], self._parts[other]
        first, last = self._window(len(self._parts))
        cells = np.arange(max(first, a.first, b.first), last + 1)
        (costs_a, in_a), (costs_b, in_b) = (_up_to(part, cells) for part in (a, b))
        return self._kept(
            int(cells[0]) if len(cells) else first,
            costs_a + costs_b,
            a.worth + b.worth,
            a.limit + b.limit - self._spare,
            in_a,
            in_b,
        )

    def _kept(self, first: int, costs: Floats, worth: float, limit: float, one: Numbers, other: Numbers) -> _Part:
        """A part without what comes to more than its limit; rounding of budgets is no reason to."""
        reduced = costs + worth * self._grid.cell_ms * (first - self._slack + np.arange(len(costs)))
        return _Part(first, np.where(reduced <= limit, costs, np.inf), worth, limit, one, other)

    def _numbers(self, at: int) -> tuple[tuple[int, int], ...]:
        """For each module which of its pieces there is in a way of the whole, and at which number of cells."""
        modules = self._program.modules
        chosen = [(0, 0)] * modules
        left = [(len(self._parts) - 1, at)]
        while left:
            number, at = left.pop()
            part = self._parts[number]
            if number < modules:
                piece = int(part.one[at])
                chosen[number] = (piece, part.first + at if piece < 0 else 0)
            else:
                step = self._program.steps[number - modules]
                left += [(step.first, int(part.one[at])), (step.second, int(part.other[at]))]
        return tuple(chosen)


def _up_to(part: _Part, cells: Numbers) -> tuple[Floats, Numbers]:
    """The least costs with at most each number of cells, from the first one of the part on, and at which positions."""
    least, positions = falling(part.costs)
    at = np.minimum(cells - part.first, len(least) - 1)
    return least[at], positions[at]

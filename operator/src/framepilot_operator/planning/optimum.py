"""The reference: a workload's optimum by another method, with proof or with the gap that is left.

All pieces of every module's cost are listed, and which of them to take, with what budgets, is a mixed-integer linear
programme, which HiGHS solves (through SciPy). An arc is convex, so it is above each of its tangents: with tangents the
programme is a bound, and the pieces that it takes give a plan. Where the two differ tangents are added at its budgets.

It shares with the planner the module's pieces, which are tested against trying everything, and the last step for given
pieces; bound, multipliers, combination and exchange are not used. Under the *whole* cost it does not know of sharing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.split import Split, settle

TANGENTS: Final = (0.0, 0.1, 0.4, 1.0)
ROUNDS: Final = 12
CLOSE_ENOUGH: Final = 1e-7
"""No more tangents are added when the plan is this close to the bound."""
PROVED: Final = 1e-6
"""A plan this close to the bound is the optimum: HiGHS keeps its constraints to about as much."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The best split, what no split can be cheaper than, whether they agree, and what found it."""

    best: Split | None
    bound: float
    proved: bool
    method: Literal["programme", "search"] = "programme"


def reference(
    inputs: Sequence[Sequence[int]],
    pieces: Sequence[Sequence[Piece]],
    objective_ms: float,
    left_s: Callable[[], float],
) -> Reference:
    """The optimum over all choices of a piece for each module.

    Args:
        inputs: of each module, by number; it stands after them.
        pieces: of each module, all that fit.
        objective_ms: for every way.
        left_s: how many seconds there are.

    Raises:
        ImportError: SciPy is not installed.
    """
    programme = _Programme(inputs, pieces, objective_ms)
    best: Split | None = None
    bound = 0.0
    for _ in range(ROUNDS):
        if left_s() <= 0:
            break
        solved = programme.solve(left_s())
        bound = max(bound, solved.bound)
        if solved.budgets is None:
            break
        chosen = [each[which] for each, which in zip(pieces, solved.chosen, strict=True)]
        split = settle(inputs, chosen, objective_ms).split
        if split is not None and (best is None or split.cost < best.cost):
            best = split
        if best is not None and best.cost <= bound * (1 + CLOSE_ENOUGH):
            break
        for index, (which, budget) in enumerate(zip(solved.chosen, solved.budgets, strict=True)):
            programme.touch(index, which, budget)
        if split is not None:
            for index, (which, budget) in enumerate(zip(solved.chosen, split.budgets_ms, strict=True)):
                programme.touch(index, which, budget)
    if best is None:
        return Reference(None, bound, proved=False)
    return Reference(best, min(bound, best.cost), proved=best.cost <= bound * (1 + PROVED))


@dataclass(frozen=True, slots=True)
class _Solved:
    bound: float
    chosen: tuple[int, ...]
    budgets: tuple[float, ...] | None


class _Programme:
    """Columns: for each piece whether it is taken, its budget and its cost; for each module when it begins.

    Time is counted in objectives, so that the solver's tolerance is a share of it.
    """

    def __init__(self, inputs: Sequence[Sequence[int]], pieces: Sequence[Sequence[Piece]], objective_ms: float) -> None:
        self.inputs, self.pieces, self.scale = inputs, pieces, objective_ms
        self.offsets: list[int] = []
        columns = 0
        for each in pieces:
            self.offsets.append(columns)
            columns += 3 * len(each)
        self.starts = columns
        self.columns = columns + len(pieces)
        self.rows: list[tuple[dict[int, float], float, float]] = []
        for index, each in enumerate(pieces):
            self._module(index, each)

    def _module(self, index: int, pieces: Sequence[Piece]) -> None:
        infinity = float("inf")
        taken = {self._column(index, which): 1.0 for which in range(len(pieces))}
        self.rows.append((taken, 1.0, 1.0))
        time = {self._column(index, which) + 1: 1.0 for which in range(len(pieces))}
        self.rows.append((time | {self.starts + index: 1.0}, -infinity, 1.0))
        for before in self.inputs[index]:
            ahead = {self._column(before, which) + 1: 1.0 for which in range(len(self.pieces[before]))}
            row = ahead | {self.starts + before: 1.0, self.starts + index: -1.0}
            self.rows.append((row, -infinity, 0.0))
        for which, piece in enumerate(pieces):
            column = self._column(index, which)
            self.rows.append(({column + 1: 1.0, column: -piece.low / self.scale}, 0.0, infinity))
            self.rows.append(({column + 1: 1.0, column: -min(piece.high / self.scale, 1.0)}, -infinity, 0.0))
            for share in TANGENTS if piece.rise else (0.0,):
                self.touch(index, which, piece.low + share * (min(piece.high, self.scale) - piece.low))

    def _column(self, index: int, which: int) -> int:
        return self.offsets[index] + 3 * which

    def touch(self, index: int, which: int, budget: float) -> None:
        """Adds the tangent of a piece at a budget."""
        piece = self.pieces[index][which]
        budget = min(max(budget, piece.low), piece.high)
        slope = -piece.rise / (budget - piece.pole) ** 2 if piece.rise else 0.0
        column = self._column(index, which)
        level = piece.cost(budget) - slope * budget
        self.rows.append(({column + 2: 1.0, column: -level, column + 1: -slope * self.scale}, 0.0, float("inf")))

    def solve(self, limit_s: float) -> _Solved:
        """The bound, and what is taken."""
        # An extra of the distribution: what plans by default does not need it.
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415
        from scipy.sparse import coo_array  # noqa: PLC0415

        places = [(row, column) for row, (terms, _, _) in enumerate(self.rows) for column in terms]
        values = [value for terms, _, _ in self.rows for value in terms.values()]
        shape = (len(self.rows), self.columns)
        matrix = coo_array((values, ([row for row, _ in places], [column for _, column in places])), shape=shape)
        rules = LinearConstraint(matrix.tocsr(), [low for _, low, _ in self.rows], [high for _, _, high in self.rows])
        kinds = [0.0] * self.columns
        prices = [0.0] * self.columns
        upper = [float("inf")] * self.columns
        for index, each in enumerate(self.pieces):
            for which in range(len(each)):
                column = self._column(index, which)
                kinds[column], upper[column], prices[column + 2] = 1.0, 1.0, 1.0
        options = {"time_limit": max(limit_s, 0.01), "mip_rel_gap": 1e-8}
        bounds = Bounds([0.0] * self.columns, upper)
        answer = milp(prices, integrality=kinds, bounds=bounds, constraints=rules, options=options)
        bound = float(answer.mip_dual_bound) if answer.mip_dual_bound is not None else 0.0
        if answer.x is None:
            return _Solved(bound, (), None)
        taken: list[int] = []
        budgets: list[float] = []
        for index, each in enumerate(self.pieces):
            which = max((float(answer.x[self._column(index, one)]), one) for one in range(len(each)))[1]
            taken.append(which)
            budgets.append(float(answer.x[self._column(index, which) + 1]) * self.scale)
        return _Solved(bound, tuple(taken), tuple(budgets))

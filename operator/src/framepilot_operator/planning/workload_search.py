"""The planner's search: the cheapest plan of a workload, with proof.

1. Each module's cost is sampled, and multipliers say what a millisecond is worth at each module (`multipliers.py`).
2. Each module is asked for its best plan at that worth (`curve.py`): new plans sharpen the multipliers, and the sum is
   a bound that no split can beat.
3. A split near the bound is found among the plans known so far. The difference, `spare`, says how much worse than its
   best a module's plan may be and still be part of the optimum: only those are listed, all of them.
4. They are combined exactly (`split.py`). What comes out is the optimum, unless a limit was hit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final

from framepilot_operator.planning.allocation import CostModel
from framepilot_operator.planning.choice import Choice
from framepilot_operator.planning.curve import MOST_VISITS, ModuleSearch
from framepilot_operator.planning.multipliers import Multipliers, multipliers
from framepilot_operator.planning.pieces import CLOSE, Piece, cheapest, envelope
from framepilot_operator.planning.series_parallel import program
from framepilot_operator.planning.split import Split, combined, leaves, settle, ways_through
from framepilot_operator.planning.way_multipliers import way_multipliers
from framepilot_operator.planning.workload import Workload

Clock = Callable[[], float]
"""Seconds, from any moment."""

MOST_PIECES: Final = 400
"""Pieces of one part; with more, those that promise most are kept, and the result is not proved."""
FEW_PIECES: Final = 12
"""The same for a first look, and when the time is up."""
ROUNDS: Final = 6
WORTHWHILE: Final = 1e-3
"""Another round is made while the last one raised the bound by this share."""
PROVED: Final = 1e-9
CANDIDATES: Final = 6


class Search:
    """Solves one feasible workload."""

    def __init__(
        self,
        workload: Workload,
        cost_model: CostModel,
        out_of_time: Callable[[], bool],
        most_visits: int = MOST_VISITS,
    ) -> None:
        self.workload = workload
        self.out_of_time = out_of_time
        self.objective_ms = workload.objective_ms
        numbers = {module.name: index for index, module in enumerate(workload.modules)}
        self.inputs = [tuple(numbers[each] for each in module.inputs) for module in workload.modules]
        least = [2 * min(each.latency_ms for each in module.configurations) for module in workload.modules]
        ways = ways_through(self.inputs, least)
        longest = [self.objective_ms - way + own for way, own in zip(ways, least, strict=True)]
        self.searches = [
            ModuleSearch(module, max(own, room), cost_model, most_visits)
            for module, room, own in zip(workload.modules, longest, least, strict=True)
        ]
        self.program = program(self.inputs)
        self.bound = 0.0
        self.best: Split | None = None
        self.complete = False

    def solve(self) -> None:
        """Finds `best`, `bound` and whether the search was `complete`."""
        worth = self._bounded()
        known = [self._near(search.pieces, index, worth) for index, search in enumerate(self.searches)]
        self._combine(known, worth, FEW_PIECES)
        if self._proved() or self.out_of_time():
            return
        spare = self._spare()
        pieces = [
            search.within(worth.worth[index], self.least[index] + spare) for index, search in enumerate(self.searches)
        ]
        if all(pieces):
            exhaustive = self._combine(pieces, worth, MOST_PIECES)
            self.complete = exhaustive and all(search.complete for search in self.searches)
            if self.complete and self.best is not None:
                self.bound = self.best.cost

    def _bounded(self) -> Multipliers:
        """Multipliers with the best bound that a few rounds find."""
        best = self._multipliers()
        self.bound = -math.inf
        for _ in range(ROUNDS):
            worth = self._multipliers()
            priced = [search.price(worth.worth[index]) for index, search in enumerate(self.searches)]
            least = [piece.reduced(worth.worth[index]) for index, piece in enumerate(priced)]
            bound = sum(least) - worth.whole * self.objective_ms
            self._try(worth)
            gained = bound - self.bound
            if gained > 0:
                best, self.bound, self.least = worth, bound, least
            if gained < WORTHWHILE * abs(bound) or self._proved():
                break
        return best

    def _multipliers(self) -> Multipliers:
        pieces = [search.pieces for search in self.searches]
        if self.program is not None:
            return multipliers(self.program, pieces, self.objective_ms)
        return way_multipliers(self.inputs, pieces, self.objective_ms)

    def _try(self, worth: Multipliers) -> None:
        """The split that the multipliers suggest, made to fit."""
        budgets = list(worth.budgets_ms[: len(self.inputs)])
        ways = ways_through(self.inputs, budgets)
        chosen: list[Piece] = []
        for index, search in enumerate(self.searches):
            budget = budgets[index] * min(1.0, self.objective_ms / ways[index])
            fitting = cheapest(search.pieces, budget * (1 + CLOSE))
            chosen.append(fitting[0] if fitting else min(search.pieces, key=lambda piece: piece.low))
        self._keep(settle(self.inputs, chosen, self.objective_ms, self._cheapest()))

    def _near(self, pieces: Sequence[Piece], index: int, worth: Multipliers) -> list[Piece]:
        slope, limit = worth.worth[index], self.least[index] + self._spare()
        return envelope(piece for piece in pieces if piece.reduced(slope) <= limit)

    def _combine(self, pieces: Sequence[Sequence[Piece]], worth: Multipliers, most: int) -> bool:
        """Looks for the best combination of pieces; whether every one was considered."""
        if not all(pieces):
            return False
        if self.program is not None:
            whole = combined(self.program, pieces, worth.worth, self.least, self._spare(), lambda: self._most(most))
            tried = cheapest(whole.pieces, self.objective_ms * (1 + CLOSE))[:CANDIDATES]
            for piece in tried:
                found = leaves(piece)
                chosen = [found[index] for index in range(len(pieces))]
                self._keep(settle(self.inputs, chosen, self.objective_ms, self._cheapest()))
            return whole.complete
        self._exchange(pieces)
        regrets = [
            sorted(((piece.reduced(slope) - least, piece) for piece in each), key=itemgetter(0))
            for each, slope, least in zip(pieces, worth.worth, self.least, strict=False)
        ]
        choice = Choice(self.inputs, regrets, self.objective_ms, self.bound, self.best, self.out_of_time)
        exhaustive = choice.run()
        self.best = choice.best
        return exhaustive

    def _most(self, most: int) -> int:
        return FEW_PIECES if self.out_of_time() else most

    def _exchange(self, pieces: Sequence[Sequence[Piece]]) -> None:
        """Makes the best split better by another piece for one module, as long as that helps."""
        best = self.best
        while best is not None:
            before = best
            for index, each in enumerate(pieces):
                for piece in each:
                    if piece != best.pieces[index]:
                        chosen = (*best.pieces[:index], piece, *best.pieces[index + 1 :])
                        below = best.cost * (1 - PROVED)
                        best = settle(self.inputs, chosen, self.objective_ms, below) or best
            if best is before or self.out_of_time():
                self._keep(best)
                return

    def _keep(self, split: Split | None) -> None:
        if split is not None and split.cost < self._cheapest():
            self.best = split

    def _cheapest(self) -> float:
        return math.inf if self.best is None else self.best.cost

    def _spare(self) -> float:
        if self.best is None:
            return math.inf
        return max(self.best.cost - self.bound, 0.0) + PROVED * self.best.cost

    def _proved(self) -> bool:
        if self.best is not None and self.best.cost <= self.bound * (1 + PROVED):
            self.complete = True
        return self.complete

"""The planner's search: the cheapest plan of a workload, with proof.

1. Each module's cost is sampled, and multipliers say what a millisecond is worth at each module (`multipliers.py`).
2. Each module is asked for its best plan at that worth (`curve.py`): new plans sharpen the multipliers, and the sum is
   a bound that no split can beat.
3. A split near the bound is found among the plans known so far, and made better by taking all modules together
   (`combination.py`); in a graph that is not made of series and parallel parts by exchanges (`exchange.py`), and by
   taking the modules of one way after the other together (`descent.py`).
4. The difference to the bound, `spare`, says how much worse than its best a module's plan may be and still be part of
   the optimum: only those are listed, all of them, and the best choice among them is found (`choice.py`). It is the
   optimum, unless the effort was not enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from framepilot_operator.planning.allocation import CostModel
from framepilot_operator.planning.choice import Choice
from framepilot_operator.planning.combination import Combination
from framepilot_operator.planning.curve import MOST_PIECES, ModuleSearch
from framepilot_operator.planning.descent import Descent
from framepilot_operator.planning.effort import Effort
from framepilot_operator.planning.exchange import exchanged
from framepilot_operator.planning.hull import Hull, least_of
from framepilot_operator.planning.multipliers import Multipliers, multipliers
from framepilot_operator.planning.pieces import CLOSE, PROVED, Piece, cheapest
from framepilot_operator.planning.series_parallel import program
from framepilot_operator.planning.split import Split, Worth, settle, ways_through
from framepilot_operator.planning.way_multipliers import way_multipliers
from framepilot_operator.planning.workload import Workload

Clock = Callable[[], float]
"""Seconds, from any moment."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a search may take before what was found must do; all are counts, so that every machine finds the same.

    A module's plans are looked for by their beginnings: `visits` is what one look may take, `all_visits` what all looks
    at all modules may. Choices are searched by steps: `steps` among the best `pieces` of each module, or among the best
    `known` ones where they could not all be listed; `first_steps` in a first look at graphs that are not made of series
    and parallel parts.
    """

    visits: int = 300
    all_visits: int = 1_000
    known: int = 60
    first_steps: int = 300
    pieces: int = MOST_PIECES
    steps: int = 2_000


QUICK: Final = Limits()
"""Milliseconds."""
THOROUGH: Final = Limits(
    visits=30_000, all_visits=1_000_000, known=100, first_steps=10_000, pieces=3_000, steps=300_000
)
"""Seconds, for nearly every workload with a proof."""

ROUNDS: Final = 2
AGAIN: Final = 100
"""What another look may take at a module of which the first did not see all."""
WORTHWHILE: Final = 1e-3
"""Another round is made while it could raise the bound by this share."""


class Search:
    """Solves one feasible workload."""

    def __init__(
        self,
        workload: Workload,
        cost_model: CostModel,
        out_of_time: Callable[[], bool],
        limits: Limits = QUICK,
    ) -> None:
        self.workload = workload
        self.cost_model: CostModel = cost_model
        self.out_of_time = out_of_time
        self.objective_ms = workload.objective_ms
        numbers = {module.name: index for index, module in enumerate(workload.modules)}
        self.inputs = [tuple(numbers[each] for each in module.inputs) for module in workload.modules]
        least = [module.least_latency_ms for module in workload.modules]
        ways = ways_through(self.inputs, least)
        longest = [self.objective_ms - way + own for way, own in zip(ways, least, strict=True)]
        self.searches = [
            ModuleSearch(module, max(own, room), cost_model, limits.pieces)
            for module, room, own in zip(workload.modules, longest, least, strict=True)
        ]
        self._limits = limits
        self._visits_left = limits.all_visits
        self.program = program(self.inputs)
        self.bound = 0.0
        self.least: list[float] = []
        """What each module's cost + worth x budget is at least."""
        self.best: Split | None = None
        self.worth = Worth((), 0.0)
        """What a millisecond is worth at each module: of the best bound that multipliers gave."""
        self.complete = False

    def solve(self) -> None:
        """Finds `best`, `bound`, `worth` and whether the search was `complete`."""
        worth = self.worth = self._bounded()
        if self._proved():
            return
        if self.program is None or self.best is None:
            self._choose(self._known(worth), worth, Effort(self._limits.first_steps, self.out_of_time))
            self._exchange(worth)
        self._choose_if_listable(worth)
        before = self.best
        self._take_together(worth)
        if self.best is not before:
            # Less may be part of a better whole now.
            self._choose_if_listable(worth)
        self._proved()

    def _bounded(self) -> Worth:
        """Multipliers with the best bound that a few rounds find."""
        self.bound = -math.inf
        best = Worth((), 0.0)
        for _ in range(ROUNDS):
            hulls = [search.corners for search in self.searches]
            found = self._multipliers(hulls)
            worth = found.of_modules
            if worth == best:
                # No new plan changed them.
                break
            for search, slope in zip(self.searches, worth.modules, strict=True):
                visits = self._visits()
                search.price(slope, visits if search.complete else min(visits, AGAIN))
                self._visits_left -= search.visits
            least = [search.floor for search in self.searches]
            bound = sum(least) - worth.whole * self.objective_ms
            self._try(found)
            if bound > self.bound:
                best, self.bound, self.least = worth, bound, least
            # What is known already costs so much at this worth: no other worth gives a higher bound.
            most = sum(map(least_of, hulls, worth.modules)) - worth.whole * self.objective_ms
            if most - self.bound < WORTHWHILE * abs(bound) or self._proved():
                break
        return best

    def _visits(self) -> int:
        """How many beginnings a module may look at now: whoever is asked later shall have some, too."""
        return min(self._limits.visits, self._visits_left // 3)

    def _multipliers(self, hulls: Sequence[Hull]) -> Multipliers:
        if self.program is not None:
            return multipliers(self.program, hulls, self.objective_ms)
        return way_multipliers(self.inputs, hulls, self.objective_ms)

    def _try(self, found: Multipliers) -> None:
        """The split that the multipliers suggest, made to fit."""
        budgets = found.budgets_ms
        ways = ways_through(self.inputs, budgets)
        chosen: list[Piece] = []
        for index, search in enumerate(self.searches):
            budget = budgets[index] * min(1.0, self.objective_ms / ways[index])
            fitting = cheapest(search.pieces, budget * (1 + CLOSE))
            chosen.append(fitting[0] if fitting else min(search.pieces, key=lambda piece: piece.low))
        self._keep(settle(self.inputs, chosen, self.objective_ms, self._cheapest()).split)

    def _known(self, worth: Worth) -> list[list[Piece]]:
        """The best plans of each module that are known, as far as they may be part of a better whole."""
        return [
            search.best(slope, limit, self._limits.known)
            for search, slope, limit in zip(self.searches, worth.modules, self._dearest(), strict=True)
        ]

    def _choose_if_listable(self, worth: Worth) -> None:
        """The same as `_choose_within`, unless few visits are left, with which not all that is near could be listed."""
        if self._visits_left >= self._limits.visits:
            self._choose_within(worth)

    def _choose_within(self, worth: Worth) -> None:
        """Lists all that may be part of a better whole, and makes the best choice; else among what is known."""
        if self._over():
            return
        limits = self._dearest()
        for search, slope, limit in zip(self.searches, worth.modules, limits, strict=True):
            search.look(slope, limit, self._visits())
            self._visits_left -= search.visits
        pieces = self._known(worth)
        if all(search.complete for search in self.searches):
            each = zip(self.searches, worth.modules, limits, strict=True)
            pieces = [search.near(slope, limit) for search, slope, limit in each]
        floor = self._choose(pieces, worth, Effort(self._limits.steps, self.out_of_time))
        if all(search.complete for search in self.searches):
            self.bound = max(self.bound, floor)

    def _choose(self, pieces: Sequence[Sequence[Piece]], worth: Worth, effort: Effort) -> float:
        """Looks for the best combination of pieces; what none of them costs less than."""
        if not all(pieces):
            return -math.inf
        choice = Choice(self.inputs, pieces, worth, self.objective_ms, self.best, effort)
        choice.run(self.bound)
        self.best = choice.best
        return choice.floor

    def _take_together(self, worth: Worth) -> None:
        """Makes the best that is known better, modules taken together: over all budgets, then around the best's."""
        for fine in (False, True):
            if self.best is None or self._over():
                return
            for chosen in self._together(self.best, worth, fine=fine):
                self._keep(settle(self.inputs, chosen, self.objective_ms, self._cheapest()).split)

    def _together(self, best: Split, worth: Worth, *, fine: bool) -> Iterable[tuple[Piece, ...]]:
        """Choices that may be better; `fine`: with budgets near the best's."""
        if self.program is None:
            effort = Effort(self._limits.steps, self.out_of_time)
            return Descent(self.inputs, self.searches, best.budgets_ms, self.objective_ms, effort, fine=fine)
        spare, around_ms = max(best.cost - self.bound, 0.0), best.budgets_ms if fine else None
        return Combination(self.program, self.searches, worth, self.least, spare, self.objective_ms, around_ms)

    def _exchange(self, worth: Worth) -> None:
        """Makes the best that is known better, if exchanging single pieces does."""
        if self.best is None or self._over():
            return
        found = [search.pieces for search in self.searches]
        self._keep(exchanged(self.inputs, found, worth, self.objective_ms, self.best))
        self._proved()

    def _keep(self, split: Split | None) -> None:
        if split is not None and split.cost < self._cheapest():
            self.best = split

    def _cheapest(self) -> float:
        return math.inf if self.best is None else self.best.cost

    def _dearest(self) -> list[float]:
        """How much each module's part of the bound may be in a whole that is cheaper than the best that is known."""
        if self.best is None:
            return [math.inf] * len(self.least)
        spare = max(self.best.cost - self.bound, 0.0) + PROVED * self.best.cost
        return [least + spare for least in self.least]

    def _over(self) -> bool:
        return self._proved() or self.out_of_time()

    def _proved(self) -> bool:
        if self.best is not None and self.best.cost <= self.bound * (1 + PROVED):
            self.complete = True
        return self.complete

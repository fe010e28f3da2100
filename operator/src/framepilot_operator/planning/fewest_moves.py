"""The plan that moves the fewest instances of those that cost no more than a limit: near it, not proved. Ours.

The idea: give a move a price. A module's shapes are those that the search for the cheapest plan found, and those near
what runs (`nearby.py`); each costs the price of what it would start and stop on top, and the planner's own choice
(`choice.py`) finds the best combination. A dear move keeps what runs, a cheap one leads to the cheapest plan. Each try
is priced so that the best plan above the limit and the best one within it come to the same: either nothing is better,
or it takes the place of one of them. Last, modules go back one by one to what moves less, as long as the limit holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from framepilot_operator.planning.allocation import WorkloadPlan
from framepilot_operator.planning.arcs import Shape, shape_pieces
from framepilot_operator.planning.choice import Choice
from framepilot_operator.planning.effort import Effort
from framepilot_operator.planning.moves import Running, by_rank, moved, shape_moves
from framepilot_operator.planning.nearby import counts_of, nearby
from framepilot_operator.planning.pieces import PROVED, Piece, envelope
from framepilot_operator.planning.split import Split, settle
from framepilot_operator.planning.workload_planner import written
from framepilot_operator.planning.workload_search import Search

MOST_PRICES: Final = 12
"""Prices of a move that are tried."""
MOST_STEPS: Final = 4_000
"""Steps of the choice at each of them."""
MOST_RETURNS: Final = 200
"""Ways back of single modules that are tried."""


class FewestMoves:
    """Looks for it, beginning at the cheapest plan, which a search has found."""

    def __init__(
        self,
        search: Search,
        cheapest: WorkloadPlan,
        running: Running,
        limit: float,
        out_of_time: Callable[[], bool],
    ) -> None:
        self.plan = cheapest
        self._search = search
        self._running = running
        self._limit = limit
        self._out_of_time = out_of_time
        self._counts = [by_rank(running, module) for module in search.workload.modules]
        self._moves: list[dict[Shape, int]] = [{} for _ in self._counts]
        self._pieces = self._candidates()

    def run(self) -> None:
        """Finds `plan`."""
        near, far = self._search.best, None
        if near is None:
            return
        # The same instances with their tenants where they are.
        self._accept(near)
        # What runs, if it holds at all: no plan costs more than one move.
        price = sum(max(piece.cost(piece.low) for piece in each) for each in self._pieces)
        for _ in range(MOST_PRICES):
            split = self._choose(price, near)
            if split is None:
                break
            if self._accept(split):
                near = split
            else:
                far = split
            if far is None:
                break
            fewer = self._total(near) - self._total(far)
            if fewer <= 0 or far.cost <= near.cost:
                break
            price = (far.cost - near.cost) / fewer
        self._return(near)

    def _candidates(self) -> list[list[Piece]]:
        """All pieces of each module that may be part of a plan within the limit."""
        search = self._search
        spare = self._limit - (sum(search.least) - search.worth.whole * search.objective_ms)
        candidates: list[list[Piece]] = []
        for index, module in enumerate(search.workload.modules):
            found = search.searches[index]
            pieces = [*found.pieces]
            known = {piece.source for piece in pieces}
            for shape in nearby(module, self._counts[index]):
                if shape not in known:
                    pieces += shape_pieces(module, shape, found.longest_ms, search.cost_model)
            if search.cost_model == "fractional":
                # Sharing makes whole instances cheaper than their pieces say.
                slope, most = search.worth.modules[index], search.least[index] + spare + PROVED * self._limit
                pieces = [piece for piece in pieces if piece.reduced(slope) <= most]
            candidates.append(pieces)
            for piece in pieces:
                if isinstance(piece.source, Shape):
                    self._moves[index][piece.source] = shape_moves(self._counts[index], counts_of(piece.source))
        return candidates

    def _choose(self, price: float, known: Split) -> Split | None:
        """The best split where a move has a price, if it is better than the one that is known."""
        search = self._search
        priced = [
            envelope(piece._replace(base=piece.base + price * self._of(index, piece)) for piece in pieces)
            for index, pieces in enumerate(self._pieces)
        ]
        begin = replace(known, cost=known.cost + price * self._total(known))
        effort = Effort(MOST_STEPS, self._out_of_time)
        choice = Choice(search.inputs, priced, search.worth, search.objective_ms, begin, effort)
        choice.run(search.bound)
        if choice.best is None or choice.best is begin:
            return None
        pieces = tuple(
            piece._replace(base=piece.base - price * self._of(index, piece))
            for index, piece in enumerate(choice.best.pieces)
        )
        cost = sum(piece.cost(budget) for piece, budget in zip(pieces, choice.best.budgets_ms, strict=True))
        return Split(cost, pieces, choice.best.budgets_ms)

    def _accept(self, split: Split) -> bool:
        """Whether a split is within the limit; its plan is kept if it moves less than what is known."""
        search, known = self._search, self.plan
        tried = [written(search.workload, search.cost_model, split, known.bound or 0.0, known.complete, self._running)]
        if search.cost_model == "whole":
            tried.append(written(search.workload, search.cost_model, split, known.bound or 0.0, known.complete))
        within = [plan for plan in tried if plan.cost is not None and plan.cost <= self._limit]
        self.plan = min([known, *within], key=lambda plan: (sum(moved(self._running, plan)), plan.cost))
        return bool(within)

    def _return(self, split: Split) -> None:
        """Lets single modules go back to what moves less, those that save most moves first."""
        search, left = self._search, MOST_RETURNS
        while True:
            ways = [
                (self._of(index, split.pieces[index]) - self._of(index, piece), index, piece)
                for index, pieces in enumerate(self._pieces)
                for piece in pieces
            ]
            ways = sorted((way for way in ways if way[0] > 0), key=lambda way: (-way[0], way[2].cost(way[2].high)))
            for _, index, piece in ways:
                if not left or self._out_of_time():
                    return
                left -= 1
                changed = [*split.pieces]
                changed[index] = piece
                settled = settle(search.inputs, changed, search.objective_ms).split
                if settled is not None and self._accept(settled):
                    split = settled
                    break
            else:
                return

    def _of(self, index: int, piece: Piece) -> int:
        """How many instances of a module a piece moves."""
        return self._moves[index].get(piece.source, 0) if isinstance(piece.source, Shape) else 0

    def _total(self, split: Split) -> int:
        return sum(self._of(index, piece) for index, piece in enumerate(split.pieces))

"""One piece for each module, where a graph is not made of series and parallel parts: most promising first.

A piece's regret is how far its best cost + worth x budget is above the module's best. A choice costs at least the bound
plus all its regrets, so whatever comes to more than the best split that is known is left out, and each choice that
remains is settled exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from framepilot_operator.planning.pieces import CLOSE, Piece
from framepilot_operator.planning.split import Split, longest_way, settle

MOST_VISITS: Final = 5_000
"""Beginnings of choices that are looked at."""
MOST_SETTLED: Final = 300
"""Choices that are settled."""


@dataclass(slots=True)
class Choice:
    """The search; `regrets` are of each module its pieces with their regrets, smallest first."""

    inputs: Sequence[Sequence[int]]
    regrets: Sequence[Sequence[tuple[float, Piece]]]
    objective_ms: float
    bound: float
    best: Split | None
    out_of_time: Callable[[], bool]
    visits: int = 0
    settled: int = 0
    _chosen: list[Piece] = field(default_factory=list)
    _lows: list[float] = field(default_factory=list)

    def run(self) -> bool:
        """Looks for a better `best`; whether every choice was considered."""
        if not all(self.regrets):
            return True
        self._lows = [min(piece.low for _, piece in each) for each in self.regrets]
        self._visit(0.0)
        return self._going()

    def _known(self) -> float:
        return self.best.cost if self.best else math.inf

    def _going(self) -> bool:
        return self.visits < MOST_VISITS and self.settled < MOST_SETTLED and not self.out_of_time()

    def _visit(self, regret: float) -> None:
        index = len(self._chosen)
        if index == len(self.regrets):
            self.settled += 1
            split = settle(self.inputs, self._chosen, self.objective_ms, self._known())
            self.best = split or self.best
            return
        for more, piece in self.regrets[index]:
            if self.bound + regret + more >= self._known() or not self._going():
                return
            self.visits += 1
            self._chosen.append(piece)
            times = [each.low for each in self._chosen] + self._lows[index + 1 :]
            if longest_way(self.inputs, times)[0] <= self.objective_ms * (1 + CLOSE):
                self._visit(regret + more)
            self._chosen.pop()

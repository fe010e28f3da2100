"""Which piece each module takes: exact, over any graph of modules, most promising first.

What a choice costs at least is told by *cuts*. A cut is what a millisecond is worth at each module: for any choice then
cost >= sum of min (cost + worth x budget) - worth of the whole x objective. That is a sum of one number for each piece,
so it bounds beginnings of choices as well. The first cut is that of the whole search; what a millisecond is worth in a
choice that was settled is another, the sharpest for choices like it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from framepilot_operator.planning.effort import Effort
from framepilot_operator.planning.pieces import CLOSE, PROVED, Piece
from framepilot_operator.planning.split import Split, Worth, length, settle

MOST_CUTS: Final = 8
SHARE: Final = 0.25
"""Of what the best known costs above the bound: what costs less is looked for first."""
SETTLING: Final = 10
"""Steps that settling takes for each module."""


@dataclass(slots=True)
class _Cut:
    reduced: list[list[float]]
    """Of each module's pieces."""
    rest: list[float]
    """The least that modules from each depth on add, the part of the whole included."""
    begun: list[float]
    """What the choice so far adds, up to each depth."""
    uses: int = 0


class Choice:
    """Looks for a `best` among the pieces of each module, of which each has one at least.

    Modules whose budget matters most come first in a choice: what theirs are decides most about the others.
    `floor` is what no choice costs less than, as far as that was proved.
    """

    def __init__(
        self,
        inputs: Sequence[Sequence[int]],
        pieces: Sequence[Sequence[Piece]],
        worth: Worth,
        objective_ms: float,
        best: Split | None,
        effort: Effort,
    ) -> None:
        self.best = best
        self.floor = -math.inf
        self._limit = math.inf
        self._inputs = inputs
        self._objective_ms = objective_ms
        self._effort = effort
        self._pieces = [
            sorted(each, key=lambda piece, at=slope: piece.reduced(at))  # type: ignore[misc]
            for each, slope in zip(pieces, worth.modules, strict=True)
        ]
        self._lows = [min(piece.low for piece in each) for each in pieces]
        ranges = [max(piece.high for piece in each) - low for each, low in zip(pieces, self._lows, strict=True)]
        self._order = sorted(range(len(pieces)), key=lambda index: -worth.modules[index] * ranges[index])
        self._chosen: list[int] = []
        self._times = [*self._lows]
        self._longest_ms = objective_ms * (1 + CLOSE)
        self._cuts = [self._cut(worth)]

    def run(self, bound: float) -> None:
        """Looks at every choice, at those that cost little more than the bound first, while effort is left."""
        known = self._most()
        if bound < known < math.inf:
            self._run(bound + SHARE * (known - bound))
        if self.best is None or self.floor < self.best.cost:
            self._run(math.inf)

    def _run(self, limit: float) -> None:
        self._limit = limit
        self._times = [*self._lows]
        if self._visit():
            self.floor = min(limit, self.best.cost if self.best else math.inf)

    def _visit(self) -> bool:
        """Whether every choice that begins with `_chosen` was considered."""
        depth = len(self._chosen)
        if depth == len(self._order):
            return self._settle()
        index = self._order[depth]
        for at in range(len(self._pieces[index])):
            if not self._effort.spend(1):
                return False
            most = self._most()
            for cut in self._cuts:
                if cut.begun[depth] + cut.reduced[index][at] + cut.rest[depth + 1] >= most:
                    break
            else:
                self._times[index] = self._pieces[index][at].low
                if length(self._inputs, self._times) <= self._longest_ms and not self._begin(depth, index, at):
                    return False
                self._times[index] = self._lows[index]
                continue
            cut.uses += 1
            if cut is self._cuts[0]:
                # Pieces are in its order: none of the others is better.
                return True
        return True

    def _begin(self, depth: int, index: int, at: int) -> bool:
        self._chosen.append(at)
        for cut in self._cuts:
            cut.begun[depth + 1] = cut.begun[depth] + cut.reduced[index][at]
        done = self._visit()
        self._chosen.pop()
        return done

    def _most(self) -> float:
        return min(self._limit, self.best.cost * (1 - PROVED) if self.best else math.inf)

    def _settle(self) -> bool:
        if not self._effort.spend(SETTLING * len(self._order)):
            return False
        chosen = [self._pieces[index][at] for index, at in sorted(zip(self._order, self._chosen, strict=True))]
        settled = settle(self._inputs, chosen, self._objective_ms, self._most())
        self.best = settled.split or self.best
        if settled.worth is not None:
            self._cuts.append(self._cut(settled.worth))
            if len(self._cuts) > MOST_CUTS:
                self._cuts.remove(min(self._cuts[1:-1], key=lambda cut: cut.uses))
        return True

    def _cut(self, worth: Worth) -> _Cut:
        reduced = [[piece.reduced(at) for piece in each] for each, at in zip(self._pieces, worth.modules, strict=True)]
        rest = [-worth.whole * self._objective_ms]
        for index in reversed(self._order):
            rest.append(rest[-1] + min(reduced[index]))
        begun = [0.0] * (len(reduced) + 1)
        for depth, at in enumerate(self._chosen):
            begun[depth + 1] = begun[depth] + reduced[self._order[depth]][at]
        return _Cut(reduced, rest[::-1], begun)

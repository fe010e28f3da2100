"""Functions of a latency budget, as pieces: cost `base + rise / (budget - pole)` from `low` to `high`, constant after.

Each piece is convex and falls, and what a module costs is the least of its pieces.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

CLOSE: Final = 1e-12
"""Relative difference that floating point makes of nothing."""
PROVED: Final = 1e-9
"""A plan that is dearer than the bound by this share at most is the optimum."""


class Piece(NamedTuple):
    """One convex piece; a point has no rise. `source` says what it is made of: a module's plan."""

    low: float
    high: float
    base: float
    rise: float
    pole: float
    source: object

    # These are asked for more often than anything else in a search, and written for that.
    def cost(self, budget: float) -> float:
        """What it costs with a budget of at least `low`."""
        _, high, base, rise, pole, _ = self
        if not rise:
            return base
        return base + rise / ((min(high, budget)) - pole)

    def best(self, slope: float) -> float:
        """The budget at which cost + slope x budget is least."""
        low, high, _, rise, pole, _ = self
        if not rise:
            return low
        if slope <= 0:
            return high
        budget = pole + math.sqrt(rise / slope)
        return low if budget < low else min(budget, high)

    def reduced(self, slope: float) -> float:
        """The least of cost + slope x budget."""
        low, _, base, rise, pole, _ = self
        if not rise:
            return base + slope * low
        budget = self.best(slope)
        return base + rise / (budget - pole) + slope * budget


@dataclass(slots=True)
class Staircase:
    """The cheapest known for each latency."""

    latencies: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def cost(self, latency: float) -> float:
        """The cheapest that is no slower."""
        index = bisect_right(self.latencies, latency) - 1
        return self.costs[index] if index >= 0 else math.inf

    def add(self, latency: float, cost: float) -> None:
        """Makes a latency known at a cost."""
        if self.cost(latency) <= cost:
            return
        start = bisect_left(self.latencies, latency)
        end = start
        while end < len(self.costs) and self.costs[end] >= cost:
            end += 1
        self.latencies[start:end] = [latency]
        self.costs[start:end] = [cost]


def envelope(pieces: Iterable[Piece], most: int | None = None) -> list[Piece]:
    """The lower envelope: those pieces that are the cheapest somewhere, each only where it is, by their `low`.

    If they are more than `most`, they are left whole, and some that are nowhere the cheapest with them.
    """
    listed = list(pieces)
    known = Staircase()
    for piece in listed:
        known.add(piece.low, piece.cost(piece.low))
        if piece.high > piece.low:
            known.add(piece.high, piece.cost(piece.high))
    listed = [piece for piece in listed if _reaches(piece, known)]
    listed.sort(key=lambda piece: (piece.low, piece.cost(piece.high)))
    if most is not None and len(listed) > most:
        return listed
    result = _Envelope()
    for piece in listed:
        result.insert(piece)
    return result.pieces()


def _reaches(piece: Piece, known: Staircase) -> bool:
    """Whether it is somewhere no dearer than a staircase: it falls, so the end of each step tells."""
    latencies, costs = known.latencies, known.costs
    index = bisect_right(latencies, piece.low) - 1
    while True:
        end = min(latencies[index + 1], piece.high) if index + 1 < len(latencies) else piece.high
        if piece.cost(end) <= costs[index]:
            return True
        if end >= piece.high:
            return False
        index += 1


class _Envelope:
    """Pieces one after the other, each the cheapest from its start to the next one's."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._members: list[Piece] = []

    def insert(self, piece: Piece) -> None:
        """Makes a piece part of it where that is cheaper. Pieces come by their `low`."""
        starts, members = self._starts, self._members
        first = last = max(bisect_right(starts, piece.low) - 1, 0)
        least = piece.cost(piece.high)
        made: list[tuple[float, Piece]] = []
        changed = False
        for index in range(first, len(members)):
            member, start = members[index], starts[index]
            if index > first and member.cost(start) <= least:
                # From here on all members are cheaper than the piece ever is.
                break
            last = index + 1
            end = starts[index + 1] if index + 1 < len(members) else max(start, piece.high, member.high)
            if piece.low > start:
                made.append((start, member))
                start = piece.low
            runs = _runs(member, piece, start, end)
            changed = changed or any(winner is piece for _, winner in runs)
            made += runs
        if not members:
            made, changed = [(piece.low, piece)], True
        if changed:
            merged: list[tuple[float, Piece]] = []
            for start, winner in made:
                if not merged or merged[-1][1] is not winner:
                    merged.append((start, winner))
            starts[first:last] = [start for start, _ in merged]
            members[first:last] = [winner for _, winner in merged]

    def pieces(self) -> list[Piece]:
        """All of it."""
        ends = [*self._starts, math.inf][1:] if self._starts else []
        made: list[Piece] = []
        for start, end, piece in zip(self._starts, ends, self._members, strict=True):
            low = max(start, piece.low)
            if low >= piece.high:
                made.append(Piece(low, low, piece.cost(low), 0.0, 0.0, piece.source) if piece.rise else piece)
            else:
                made.append(piece._replace(low=low, high=min(end, piece.high)))
        return made


def _runs(member: Piece, piece: Piece, start: float, end: float) -> list[tuple[float, Piece]]:
    """Which of two is the cheaper, and from where, between two budgets; a tie is the member's."""
    dearest, cheapest_there = member.cost(start), member.cost(end)
    least = CLOSE * (abs(member.base) + dearest)
    if piece.cost(end) >= dearest - least:
        return [(start, member)]
    if piece.cost(start) < cheapest_there - least:
        return [(start, piece)]

    def saved(budget: float) -> float:
        return member.cost(budget) - least - piece.cost(budget)

    # Both are hyperbolas up to where one is constant: they meet at most twice.
    marks = sorted({start, end, *(each for each in (member.high, piece.high) if start < each < end)})
    marks = sorted({*marks, *((left + right) / 2 for left, right in pairwise(marks))})
    runs: list[tuple[float, Piece]] = []
    before = saved(start)
    runs.append((start, piece if before > 0 else member))
    for left, right in pairwise(marks):
        after = saved(right)
        if (after > 0) != (before > 0):
            runs.append((_crossing(saved, left, right, before, after), piece if after > 0 else member))
        before = after
    return runs


def _crossing(of: Callable[[float], float], left: float, right: float, at_left: float, at_right: float) -> float:
    """Where a function changes its sign (false position, Illinois variant), from the side of `right`."""
    positive = at_right > 0
    for _ in range(60):
        middle = right - at_right * (right - left) / (at_right - at_left)
        if not left < middle < right:
            return right
        value = of(middle)
        if (value > 0) == positive:
            right, at_right, at_left = middle, value, at_left / 2
        else:
            left, at_left, at_right = middle, value, at_right / 2
        if right - left <= CLOSE * right:
            break
    return right


def cheapest(pieces: Sequence[Piece], budget: float) -> list[Piece]:
    """Those that fit a budget, cheapest there first."""
    fitting = [piece for piece in pieces if piece.low <= budget]
    return sorted(fitting, key=lambda piece: piece.cost(budget))

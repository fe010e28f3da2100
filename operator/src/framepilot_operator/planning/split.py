"""How modules share an objective once the piece of each is given: exact, over any graph of modules.

The cost is convex then, so the budgets follow from what a millisecond is worth on each way that uses up the objective;
ways are added as long as one is too long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from framepilot_operator.planning.pieces import CLOSE, Piece

SWEEPS: Final = 100
STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Split:
    """A piece and a budget for each module."""

    cost: float
    pieces: tuple[Piece, ...]
    budgets_ms: tuple[float, ...]


class Worth(NamedTuple):
    """What a millisecond is worth at each module, and of the whole objective."""

    modules: tuple[float, ...]
    whole: float

    def bound(self, pieces: Sequence[Piece], objective_ms: float) -> float:
        """What these pieces cost at least, whatever their budgets; true if the worth flows along the ways."""
        least = sum([piece.reduced(worth) for piece, worth in zip(pieces, self.modules, strict=True)])
        return least - self.whole * objective_ms


class Settled(NamedTuple):
    """The cheapest budgets, None if there are none that are cheap enough; and what a millisecond is worth then."""

    split: Split | None
    worth: Worth | None


def settle(
    inputs: Sequence[Sequence[int]], pieces: Sequence[Piece], objective_ms: float, below: float = math.inf
) -> Settled:
    """The cheapest budgets with a piece given for each module, if that is fast enough and costs less than `below`."""
    if length(inputs, [piece.low for piece in pieces]) > objective_ms * (1 + CLOSE):
        return Settled(None, None)
    budgets = [piece.high for piece in pieces]
    ways: list[_Way] = []
    while True:
        # Ways that are not counted yet can only make it dearer.
        cost = sum([piece.cost(budget) for piece, budget in zip(pieces, budgets, strict=True)])
        if cost >= below:
            return Settled(None, _flow(ways, len(pieces)))
        longest, way = longest_way(inputs, budgets)
        if longest <= objective_ms * (1 + CLOSE):
            return Settled(Split(cost, tuple(pieces), tuple(budgets)), _flow(ways, len(pieces)))
        free = tuple(index for index in way if pieces[index].high > pieces[index].low)
        given = sum(pieces[index].low for index in way if pieces[index].high <= pieces[index].low)
        known = [each for each in ways if each.free == free]
        if known or len(ways) > 4 * len(pieces):
            # The last digits: take what is too long from where there is room.
            _shorten(budgets, pieces, free, longest - objective_ms)
            continue
        ways.append(_Way(way, free, objective_ms - given))
        _balance(ways, pieces, budgets)


@dataclass(slots=True)
class _Way:
    modules: tuple[int, ...]
    free: tuple[int, ...]
    """Those whose budget is not given."""
    room_ms: float
    worth: float = 0.0


def _flow(ways: Sequence[_Way], modules: int) -> Worth:
    worth = [0.0] * modules
    for way in ways:
        for index in way.modules:
            worth[index] += way.worth
    return Worth(tuple(worth), sum(way.worth for way in ways))


def _balance(ways: Sequence[_Way], pieces: Sequence[Piece], budgets: list[float]) -> None:
    """Sets what a millisecond is worth on each way in turn until all ways are just kept (dual coordinate ascent)."""
    worth = dict.fromkeys((index for way in ways for index in way.free), 0.0)
    for way in ways:
        for index in way.free:
            worth[index] += way.worth
    for _ in range(SWEEPS if len(ways) > 1 else 1):
        moved = 0.0
        for way in ways:
            before = way.worth
            others = [max(worth[index] - before, 0.0) for index in way.free]
            way.worth = _worth(way, pieces, others)
            for index, other in zip(way.free, others, strict=True):
                worth[index] = other + way.worth
            moved = max(moved, abs(way.worth - before) / max(way.worth, before, 1e-300))
        if moved < 1e-9:
            break
    for index, each in worth.items():
        budgets[index] = pieces[index].best(each)


def _worth(way: _Way, pieces: Sequence[Piece], others: Sequence[float]) -> float:
    """The least worth of a millisecond at which the modules of a way keep its room.

    Newton's method in a bracket, on one over the square of what arcs take beyond their poles: without others, and as
    long as no arc is at an end, that is a line.
    """
    arcs = [(pieces[index], other) for index, other in zip(way.free, others, strict=True)]
    room = way.room_ms
    if sum([piece.best(other) for piece, other in arcs]) <= room:
        return 0.0
    high = max([piece.rise / (piece.low - piece.pole) ** 2 for piece, _ in arcs])
    low = high * 1e-15
    worth = way.worth if low < way.worth < high else math.sqrt(low * high)
    for _ in range(STEPS):
        bent = falls = fixed = 0.0
        for (piece_low, piece_high, _, rise, pole, _), other in arcs:
            reach = math.sqrt(rise / (worth + other))
            budget = pole + reach
            if budget >= piece_high:
                fixed += piece_high
            elif budget <= piece_low:
                fixed += piece_low
            else:
                fixed += pole
                bent += reach
                falls += 0.5 * reach / (worth + other)
        over = fixed + bent - room
        if -1e-13 * room <= over <= 0 or high <= low * (1 + 1e-14):
            return worth
        low, high = (worth, high) if over > 0 else (low, worth)
        left = room * (1 - 5e-14) - fixed
        guess = worth + ((bent / left) ** 2 - 1) * bent / (2 * falls) if falls and left > 0 else 0.0
        worth = guess if low < guess < high else math.sqrt(low * high)
    return high


def _shorten(budgets: list[float], pieces: Sequence[Piece], free: Iterable[int], excess: float) -> None:
    for index in free:
        taken = min(excess * (1 + CLOSE), budgets[index] - pieces[index].low)
        budgets[index] -= taken
        excess -= taken
        if excess <= 0:
            return


def longest_way(inputs: Sequence[Sequence[int]], times: Sequence[float]) -> tuple[float, tuple[int, ...]]:
    """The longest way through modules, each after its inputs: its length and its modules."""
    finished: list[float] = []
    come_from: list[int | None] = []
    for index, before in enumerate(inputs):
        latest = max(before, key=finished.__getitem__, default=None)
        come_from.append(latest)
        finished.append(times[index] + (finished[latest] if latest is not None else 0.0))
    at: int | None = max(range(len(finished)), key=finished.__getitem__)
    longest = finished[at] if at is not None else 0.0
    way: list[int] = []
    while at is not None:
        way.append(at)
        at = come_from[at]
    return longest, tuple(reversed(way))


def length(inputs: Sequence[Sequence[int]], times: Sequence[float]) -> float:
    """That of the longest way."""
    finished: list[float] = []
    for before, time in zip(inputs, times, strict=True):
        latest = 0.0
        for each in before:
            latest = max(latest, finished[each])
        finished.append(latest + time)
    return max(finished)


def ways_through(inputs: Sequence[Sequence[int]], times: Sequence[float]) -> list[float]:
    """For each module the longest way that it is on."""
    early: list[float] = []
    for before, time in zip(inputs, times, strict=True):
        early.append(time + max((early[each] for each in before), default=0.0))
    late = list(times)
    for index in reversed(range(len(times))):
        for each in inputs[index]:
            late[each] = max(late[each], times[each] + late[index])
    return [first + last - time for first, last, time in zip(early, late, times, strict=True)]

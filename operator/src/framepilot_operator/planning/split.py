"""Which piece each module takes, and what budget: exact, over any graph of modules.

`combined` joins pieces along a program of series and parallel parts and keeps those that can still be cheaper than what
is known. `settle` is the exact rest: with a piece given for each module the cost is convex, so the budgets follow from
what a millisecond is worth on each way that uses up the objective; ways are added as long as one is too long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from framepilot_operator.planning.pieces import CLOSE, Piece, envelope, parallel, series
from framepilot_operator.planning.series_parallel import Program

SWEEPS: Final = 100
STEPS: Final = 100


class Leaf(NamedTuple):
    """A module's own piece, as the source of a combined one."""

    module: int
    piece: Piece


@dataclass(frozen=True, slots=True)
class Split:
    """A piece and a budget for each module."""

    cost: float
    pieces: tuple[Piece, ...]
    budgets_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Combined:
    """Pieces of the whole; `complete` unless some had to be left out."""

    pieces: list[Piece]
    complete: bool


def combined(
    program: Program,
    pieces: Sequence[Sequence[Piece]],
    worth: Sequence[float],
    least: Sequence[float],
    spare: float,
    most: Callable[[], int],
) -> Combined:
    """Pieces of the whole that can be within `spare` of the bound.

    Args:
        program: how modules form the whole.
        pieces: of each module.
        worth: of a millisecond, for each part of the program.
        least: of each module the least of cost + worth x budget.
        spare: how much dearer than the bound the best that is known is.
        most: how many pieces of a part may be kept.
    """
    parts = [[piece._replace(source=Leaf(index, piece)) for piece in each] for index, each in enumerate(pieces)]
    floors = list(least)
    complete = True
    for offset, step in enumerate(program.steps):
        joined = series if step.kind == "series" else parallel
        slope = worth[program.modules + offset]
        floors.append(floors[step.first] + floors[step.second])
        limit = floors[-1] + spare
        made = [
            piece
            for first in parts[step.first]
            for second in parts[step.second]
            for piece in joined(first, second)
            if piece.reduced(slope) <= limit
        ]
        made = envelope(made)
        if len(made) > most():
            complete = False
            made = _most_promising(made, slope, most())
        parts.append(made)
    return Combined(parts[-1], complete)


def _most_promising(pieces: Sequence[Piece], slope: float, most: int) -> list[Piece]:
    return sorted(pieces, key=lambda piece: piece.reduced(slope))[:most]


def leaves(piece: Piece) -> dict[int, Piece]:
    """The modules' pieces of which a combined one is made."""
    found: dict[int, Piece] = {}
    stack: list[object] = [piece.source]
    while stack:
        source = stack.pop()
        if isinstance(source, Leaf):
            found[source.module] = source.piece
        elif isinstance(source, tuple):
            stack.extend(source)
    return found


def settle(
    inputs: Sequence[Sequence[int]], pieces: Sequence[Piece], objective_ms: float, below: float = math.inf
) -> Split | None:
    """The cheapest budgets with a piece given for each module; None if too slow, or not cheaper than `below`."""
    longest, _ = longest_way(inputs, [piece.low for piece in pieces])
    if longest > objective_ms * (1 + CLOSE):
        return None
    budgets = [piece.high for piece in pieces]
    ways: list[_Way] = []
    while True:
        # Ways that are not counted yet can only make it dearer.
        cost = sum([piece.cost(budget) for piece, budget in zip(pieces, budgets, strict=True)])
        if cost >= below:
            return None
        longest, way = longest_way(inputs, budgets)
        if longest <= objective_ms * (1 + CLOSE):
            return Split(cost, tuple(pieces), tuple(budgets))
        free = tuple(index for index in way if pieces[index].high > pieces[index].low)
        given = sum(pieces[index].low for index in way if pieces[index].high <= pieces[index].low)
        known = [each for each in ways if each.modules == free]
        if known or len(ways) > 4 * len(pieces):
            # The last digits: take what is too long from where there is room.
            _shorten(budgets, pieces, free, longest - objective_ms)
            continue
        ways.append(_Way(free, objective_ms - given))
        _balance(ways, pieces, budgets)


@dataclass(slots=True)
class _Way:
    modules: tuple[int, ...]
    room_ms: float
    worth: float = 0.0


def _balance(ways: Sequence[_Way], pieces: Sequence[Piece], budgets: list[float]) -> None:
    """Sets what a millisecond is worth on each way in turn until all ways are just kept (dual coordinate ascent)."""
    for _ in range(SWEEPS if len(ways) > 1 else 1):
        moved = 0.0
        for way in ways:
            others = {
                index: sum(each.worth for each in ways if each is not way and index in each.modules)
                for index in way.modules
            }
            before = way.worth
            way.worth = _worth(way, pieces, others)
            moved = max(moved, abs(way.worth - before) / max(way.worth, before, 1e-300))
        if moved < 1e-9:
            break
    for index in {index for way in ways for index in way.modules}:
        budgets[index] = pieces[index].best(sum(way.worth for way in ways if index in way.modules))


def _worth(way: _Way, pieces: Sequence[Piece], others: dict[int, float]) -> float:
    """The least worth of a millisecond at which the modules of a way keep its room: Newton's method in a bracket."""
    arcs = [(pieces[index], others[index]) for index in way.modules]
    room = way.room_ms
    if sum(piece.best(other) for piece, other in arcs) <= room:
        return 0.0
    high = max(piece.rise / (piece.low - piece.pole) ** 2 for piece, _ in arcs)
    low = high * 1e-15
    worth = math.sqrt(low * high)
    for _ in range(STEPS):
        needed = falls = 0.0
        for (piece_low, piece_high, _, rise, pole, _), other in arcs:
            reach = math.sqrt(rise / (worth + other))
            budget = pole + reach
            if budget >= piece_high:
                needed += piece_high
            elif budget <= piece_low:
                needed += piece_low
            else:
                needed += budget
                falls += 0.5 * reach / (worth + other)
        over = needed - room
        if -1e-13 * room <= over <= 0 or high <= low * (1 + 1e-14):
            return worth
        low, high = (worth, high) if over > 0 else (low, worth)
        guess = worth + over / falls if falls else 0.0
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

"""Better ends of modules, one way after the other: against trying every choice."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from framepilot_operator.planning.descent import Descent
from framepilot_operator.planning.effort import Effort
from framepilot_operator.planning.grid import CELLS
from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.series_parallel import program
from framepilot_operator.planning.split import Split, settle
from support.known_plans import OBJECTIVE_MS, Known, cheapest_of_all, drawn, least_settled, point

CROSSED = ((), (), (0,), (0, 1))
"""The smallest graph that is not made of series and parallel parts."""
WOVEN = ((), (0,), (0,), (1,), (1, 2), (3, 4))


def fastest(inputs: Sequence[Sequence[int]], pieces: Sequence[Sequence[Piece]]) -> Split | None:
    return settle(inputs, [min(each, key=lambda piece: piece.low) for each in pieces], OBJECTIVE_MS).split


def descended(inputs: Sequence[Sequence[int]], pieces: Sequence[Sequence[Piece]], begin: Split, steps: int) -> float:
    effort = Effort(steps, lambda: False)
    plans = [Known(each) for each in pieces]
    choices = Descent(inputs, plans, begin.budgets_ms, OBJECTIVE_MS, effort, fine=False)
    found = least_settled(inputs, choices)
    return begin.cost if found is None else min(found, begin.cost)


@pytest.mark.parametrize(("inputs", "share"), [(CROSSED, 0.98), (WOVEN, 0.85)])
def test_it_saves_nearly_all_that_can_be_saved(inputs: Sequence[Sequence[int]], share: float):
    assert program(inputs) is None
    saved = possible = 0.0
    for seed in range(20):
        rng = random.Random(seed)
        pieces = [drawn(rng) for _ in inputs]
        begin, best = fastest(inputs, pieces), cheapest_of_all(inputs, pieces)
        assert begin is not None
        assert best is not None
        cost = descended(inputs, pieces, begin, 10_000)
        assert best * (1 - 1e-9) <= cost <= begin.cost
        saved += begin.cost - cost
        possible += begin.cost - best
    assert saved >= share * possible


def test_inputs_beside_the_way_come_along_where_that_pays():
    # Both inputs of the last one have to be faster, at little cost, for it to be much cheaper.
    first = [point(150, 1.0), point(100, 2.0)]
    last = [point(95, 50.0), point(145, 1.0)]
    pieces = [first, first, [point(20, 1.0)], last]
    begin = settle(CROSSED, [first[0], first[0], pieces[2][0], last[0]], OBJECTIVE_MS).split
    assert begin is not None
    assert descended(CROSSED, pieces, begin, 10_000) == pytest.approx(2 + 2 + 1 + 1)


def test_without_effort_it_stays_as_it_was():
    pieces = [[point(10, 9.0), point(60, 1.0)]] * 4
    begin = fastest(CROSSED, pieces)
    assert begin is not None
    assert descended(CROSSED, pieces, begin, 0) <= begin.cost
    assert CELLS == OBJECTIVE_MS

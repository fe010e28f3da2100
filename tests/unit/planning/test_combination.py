"""Combining fronts along a program: against trying every choice."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product

import pytest

from framepilot_operator.planning.combination import CELLS, combined
from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.series_parallel import program
from framepilot_operator.planning.split import Worth, length, settle

CHAIN = ((), (0,), (1,))
DIAMOND = ((), (0,), (0,), (1, 2))
OBJECTIVE_MS = float(CELLS)
"""A cell is a millisecond."""


def point(budget: float, cost: float) -> Piece:
    return Piece(budget, budget, cost, 0.0, 0.0, None)


def drawn(rng: random.Random) -> list[Piece]:
    """Points a whole number of cells apart, so that no cell hides one that matters."""
    return [point(rng.randrange(5, 90), rng.uniform(1.0, 100.0)) for _ in range(7)]


def cheapest_of_all(inputs: Sequence[Sequence[int]], pieces: Sequence[Sequence[Piece]]) -> float | None:
    costs = [
        sum(piece.base for piece in choice)
        for choice in product(*pieces)
        if length(inputs, [piece.low for piece in choice]) <= OBJECTIVE_MS
    ]
    return min(costs, default=None)


def cost_of(choice: Sequence[Piece]) -> float:
    return sum(piece.base for piece in choice)


@pytest.mark.parametrize("inputs", [CHAIN, DIAMOND])
@pytest.mark.parametrize("seed", range(20))
def test_the_first_choice_is_the_cheapest_of_all(inputs: Sequence[Sequence[int]], seed: int):
    rng = random.Random(seed)
    pieces = [drawn(rng) for _ in inputs]
    steps = program(inputs)
    assert steps is not None
    nothing = Worth((0.0,) * len(inputs), 0.0)
    choices = combined(steps, pieces, nothing, [0.0] * len(inputs), 1e6, OBJECTIVE_MS)
    expected = cheapest_of_all(inputs, pieces)
    assert [cost_of(choice) for choice in choices[:1]] == ([] if expected is None else [pytest.approx(expected)])
    assert all(length(inputs, [piece.low for piece in choice]) <= OBJECTIVE_MS for choice in choices)


def test_what_comes_to_more_than_is_spare_is_left_out():
    steps = program(CHAIN)
    assert steps is not None
    pieces = [[point(10, 5.0), point(50, 1.0)] for _ in CHAIN]
    worth = Worth((0.1, 0.1, 0.1), 0.1)
    # Of a module both come to 6; so does each choice of three to 18, and nothing to less.
    assert len(combined(steps, pieces, worth, [6.0] * 3, 0.1, OBJECTIVE_MS)) > 1
    dear = [[*each[:1], point(50, 1.2)] for each in pieces]
    (only,) = combined(steps, dear, worth, [6.0] * 3, 0.1, OBJECTIVE_MS)
    assert [piece.low for piece in only] == [10, 10, 10]


def test_an_arc_is_taken_at_the_budget_that_it_has():
    steps = program(CHAIN)
    assert steps is not None
    arc = Piece(20.0, 120.0, 1.0, 200.0, 0.0, None)
    pieces = [[arc], [point(60, 4.0), point(30, 6.0)], [point(40, 2.0)]]
    choices = combined(steps, pieces, Worth((0.0,) * 3, 0.0), [0.0] * 3, 1e6, OBJECTIVE_MS)
    settled = [settle(CHAIN, choice, OBJECTIVE_MS).split for choice in choices]
    costs = [split.cost for split in settled if split is not None]
    # 60 + 40 leave the arc 100 ms: 1 + 2 + 4 + 2. With 30 in place of 60 it has all it can use: 1 + 200/120 + 6 + 2.
    assert min(costs) == pytest.approx(9.0)


def test_nothing_is_chosen_where_no_way_is_short_enough():
    steps = program(CHAIN)
    assert steps is not None
    pieces = [[point(90, 1.0)] for _ in CHAIN]
    assert combined(steps, pieces, Worth((0.0,) * 3, 0.0), [0.0] * 3, 1e6, OBJECTIVE_MS) == []

"""Combining fronts along a program: against trying every choice."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from framepilot_operator.planning.combination import Combination
from framepilot_operator.planning.grid import AROUND
from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.series_parallel import program
from framepilot_operator.planning.split import Worth
from support.known_plans import OBJECTIVE_MS, Known, cheapest_of_all, drawn, least_settled, point

CHAIN = ((), (0,), (1,))
DIAMOND = ((), (0,), (0,), (1, 2))


@pytest.mark.parametrize("inputs", [CHAIN, DIAMOND])
@pytest.mark.parametrize("seed", range(20))
def test_the_cheapest_choice_of_all_is_among_them(inputs: Sequence[Sequence[int]], seed: int):
    rng = random.Random(seed)
    pieces = [drawn(rng) for _ in inputs]
    steps = program(inputs)
    assert steps is not None
    nothing = Worth((0.0,) * len(inputs), 0.0)
    choices = Combination(steps, [Known(each) for each in pieces], nothing, [0.0] * len(inputs), 1e6, OBJECTIVE_MS)
    expected = cheapest_of_all(inputs, pieces)
    found = least_settled(inputs, choices)
    assert found == (None if expected is None else pytest.approx(expected))


def test_what_comes_to_more_than_is_spare_is_left_out():
    steps = program(CHAIN)
    assert steps is not None
    pieces = [Known([point(10, 5.0), point(50, 1.0)]) for _ in CHAIN]
    worth = Worth((0.1, 0.1, 0.1), 0.1)
    # Of a module both come to 6; so does each choice of three to 18, and nothing to less.
    alike = [*Combination(steps, pieces, worth, [6.0] * 3, 0.1, 150.0)]
    assert {piece.low for choice in alike for piece in choice} == {50}
    dear = [Known([*each.pieces[:1], point(50, 1.2)]) for each in pieces]
    assert [*Combination(steps, dear, worth, [6.0] * 3, 0.1, 150.0)] == []


def test_an_arc_is_taken_at_the_budget_that_it_has():
    steps = program(CHAIN)
    assert steps is not None
    arc = Piece(20.0, 120.0, 1.0, 200.0, 0.0, None)
    pieces = [Known([arc]), Known([point(90, 4.0), point(30, 6.0)]), Known([point(60, 2.0)])]
    choices = Combination(steps, pieces, Worth((0.0,) * 3, 0.0), [0.0] * 3, 1e6, OBJECTIVE_MS)
    # 90 + 60 leave the arc 100 ms: 1 + 2 + 4 + 2. With 30 in place of 90 it has all it can use: 1 + 200/120 + 6 + 2.
    assert least_settled(CHAIN, choices) == pytest.approx(9.0)


def test_a_plan_is_made_where_it_is_the_cheapest_and_only_then():
    steps = program(CHAIN)
    assert steps is not None
    better, worse = Known([point(50, 4.0)], point(60, 2.0)), Known([point(50, 4.0)], point(60, 5.0))
    choices = Combination(steps, [better, worse, Known([])], Worth((0.0,) * 3, 0.0), [0.0] * 3, 1e6, OBJECTIVE_MS)
    assert [*choices] == []
    choices = Combination(
        steps, [better, worse, Known([point(50, 1.0)])], Worth((0.0,) * 3, 0.0), [0.0] * 3, 1e6, OBJECTIVE_MS
    )
    assert least_settled(CHAIN, choices) == pytest.approx(7.0)
    assert min(better.made) >= 60
    assert worse.made == []


def test_around_budgets_the_grid_is_finer_and_nothing_far_from_them_is_taken():
    steps = program(CHAIN)
    assert steps is not None
    reach = AROUND * OBJECTIVE_MS
    near, far = point(100 + 0.4 * reach, 3.0), point(100 + 3 * reach, 2.0)
    # Two that a coarse grid takes for the same, of which only one is short enough.
    fine = [point(100.0, 5.0), point(100.05, 4.9)]
    rest = OBJECTIVE_MS - 100.0 - near.low
    short = point(OBJECTIVE_MS - 100.0 - far.low, 1.5)
    pieces = [Known([near, far]), Known(fine), Known([point(rest, 1.0), short])]
    nothing = Worth((0.0,) * 3, 0.0)
    anywhere = [*Combination(steps, pieces, nothing, [0.0] * 3, 1e6, OBJECTIVE_MS)]
    assert any(choice[0] is far for choice in anywhere)
    around = (100.0, 100.0, rest)
    choices = [*Combination(steps, pieces, nothing, [0.0] * 3, 1e6, OBJECTIVE_MS, around)]
    assert all(choice[0] is near for choice in choices)
    assert least_settled(CHAIN, choices) == pytest.approx(9.0)


def test_nothing_is_chosen_where_no_way_is_short_enough():
    steps = program(CHAIN)
    assert steps is not None
    pieces = [Known([point(95, 1.0)]) for _ in CHAIN]
    choices = Combination(steps, pieces, Worth((0.0,) * 3, 0.0), [0.0] * 3, 1e6, OBJECTIVE_MS)
    assert least_settled(CHAIN, choices) is None

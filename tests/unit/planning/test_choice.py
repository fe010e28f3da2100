"""The choice of a piece for each module: the best of all, a true bound where effort was not enough, and exchanges."""

from __future__ import annotations

import math
import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_operator.planning.choice import Choice
from framepilot_operator.planning.effort import Effort
from framepilot_operator.planning.exchange import exchanged
from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.split import Worth, settle

DIAMOND = ((), (0,), (0,), (1, 2))
OBJECTIVE_MS = 40.0
NOTHING = Worth((0.0,) * len(DIAMOND), 0.0)


def pieces(seed: int) -> list[list[Piece]]:
    rng = random.Random(seed)

    def piece() -> Piece:
        low, pole = rng.uniform(5.0, 15.0), rng.uniform(1.0, 4.0)
        rise = rng.choice([0.0, rng.uniform(1.0, 30.0)])
        return Piece(low, low + (rng.uniform(1.0, 10.0) if rise else 0.0), rng.uniform(1.0, 5.0), rise, pole, None)

    return [[piece() for _ in range(rng.randint(1, 4))] for _ in DIAMOND]


def chosen(seed: int, steps: int) -> Choice:
    choice = Choice(DIAMOND, pieces(seed), NOTHING, OBJECTIVE_MS, None, Effort(steps, lambda: False))
    choice.run(0.0)
    return choice


def cheapest(seed: int) -> float:
    splits = (settle(DIAMOND, each, OBJECTIVE_MS).split for each in product(*pieces(seed)))
    return min((split.cost for split in splits if split is not None), default=math.inf)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_it_is_the_best_of_all_choices(seed: int) -> None:
    choice = chosen(seed, 100_000)
    assert (choice.best.cost if choice.best else math.inf) == pytest.approx(cheapest(seed), rel=1e-8)
    assert choice.floor == pytest.approx(cheapest(seed), rel=1e-8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 400))
def test_with_little_effort_it_claims_no_more_than_is_true(seed: int, steps: int) -> None:
    choice = chosen(seed, steps)
    assert choice.floor <= cheapest(seed) * (1 + 1e-8)
    if choice.best is not None:
        assert choice.best.cost >= cheapest(seed) * (1 - 1e-8)


def test_no_step_is_taken_when_the_time_is_up() -> None:
    choice = Choice(DIAMOND, pieces(1), NOTHING, OBJECTIVE_MS, None, Effort(100_000, lambda: True))
    choice.run(0.0)
    assert choice.best is None
    assert choice.floor == -math.inf


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_no_other_piece_of_one_module_is_better_than_what_exchanges_come_to(seed: int) -> None:
    splits = (settle(DIAMOND, each, OBJECTIVE_MS).split for each in product(*pieces(seed)))
    for first in [split for split in splits if split is not None][:5]:
        last = exchanged(DIAMOND, pieces(seed), NOTHING, OBJECTIVE_MS, first)
        assert last.cost <= first.cost
        for index, each in enumerate(pieces(seed)):
            for piece in each:
                others = [*last.pieces[:index], piece, *last.pieces[index + 1 :]]
                split = settle(DIAMOND, others, OBJECTIVE_MS).split
                assert split is None or split.cost >= last.cost * (1 - 1e-8)

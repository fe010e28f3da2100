"""Modules with a few plans each, for what chooses among them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np

from framepilot_operator.planning.greedy import Floats, Numbers
from framepilot_operator.planning.grid import CELLS
from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.split import length, settle

OBJECTIVE_MS = float(CELLS)
"""A cell is a millisecond."""


def point(budget: float, cost: float) -> Piece:
    return Piece(budget, budget, cost, 0.0, 0.0, None)


KIND = 3
"""Of the plans that can be made."""


class Known:
    """Plans that are known, and, if given, one more that can be made for budgets from its own on."""

    def __init__(self, pieces: Sequence[Piece], other: Piece | None = None) -> None:
        self.pieces = pieces
        self.other = other
        self.made: list[float] = []

    def costs(self, budgets_ms: Floats) -> tuple[Floats, Numbers]:
        made = (np.inf, np.inf) if self.other is None else (self.other.low, self.other.base)
        return np.where(budgets_ms >= made[0], made[1], np.inf), np.full(len(budgets_ms), KIND)

    def cheapest(self, budget_ms: float, kind: int) -> Piece | None:
        assert kind == KIND
        self.made.append(budget_ms)
        return self.other


def drawn(rng: random.Random) -> list[Piece]:
    """Points a whole number of cells apart, so that nothing is rounded."""
    return [point(rng.randrange(5, 120), rng.uniform(1.0, 100.0)) for _ in range(7)]


def cheapest_of_all(inputs: Sequence[Sequence[int]], pieces: Sequence[Sequence[Piece]]) -> float | None:
    costs = [
        sum(piece.base for piece in choice)
        for choice in product(*pieces)
        if length(inputs, [piece.low for piece in choice]) <= OBJECTIVE_MS
    ]
    return min(costs, default=None)


def least_settled(inputs: Sequence[Sequence[int]], choices: Iterable[Sequence[Piece]]) -> float | None:
    settled = [settle(inputs, choice, OBJECTIVE_MS).split for choice in choices]
    return min((split.cost for split in settled if split is not None), default=None)

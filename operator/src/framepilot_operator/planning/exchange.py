"""Makes a split cheaper by giving one module after the other another piece, as long as that helps.

What searches in depth looks near its first choices for long; this looks near a whole split, at little cost, for what a
millisecond is worth in it bounds what each exchange can come to, and most are seen not to help before they are settled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from framepilot_operator.planning.pieces import PROVED, Piece
from framepilot_operator.planning.split import Split, Worth, settle

MOST_PIECES: Final = 100
"""Of each module, the best at what a millisecond is worth."""
MOST_SETTLED: Final = 600
"""Modules in all the splits that are settled."""


def exchanged(
    inputs: Sequence[Sequence[int]],
    pieces: Sequence[Sequence[Piece]],
    worth: Worth,
    objective_ms: float,
    split: Split,
) -> Split:
    """The split after all exchanges of one piece for another that help; `pieces` are those of each module.

    `worth` says which pieces are near; which of them may help is told by what a millisecond is worth in the split.
    """
    near = [
        sorted(each, key=lambda piece, at=slope: piece.reduced(at))[:MOST_PIECES]  # type: ignore[misc]
        for each, slope in zip(pieces, worth.modules, strict=True)
    ]
    best, here = _settled(inputs, split.pieces, objective_ms, math.inf) or (split, worth)
    left, before = MOST_SETTLED, None
    while best is not before:
        before = best
        for index, each in enumerate(near):
            others, most = _without(index, best, here, objective_ms), best.cost * (1 - PROVED)
            for piece in each:
                if others + piece.reduced(here.modules[index]) >= most:
                    continue
                if left <= 0:
                    return best
                left -= len(near)
                chosen = (*best.pieces[:index], piece, *best.pieces[index + 1 :])
                settled = _settled(inputs, chosen, objective_ms, most)
                if settled is not None:
                    best, here = settled
                    others, most = _without(index, best, here, objective_ms), best.cost * (1 - PROVED)
    return best


def _without(index: int, split: Split, worth: Worth, objective_ms: float) -> float:
    """What a split comes to at least by this worth, less the part of one module."""
    return worth.bound(split.pieces, objective_ms) - split.pieces[index].reduced(worth.modules[index])


def _settled(
    inputs: Sequence[Sequence[int]], pieces: Sequence[Piece], objective_ms: float, below: float
) -> tuple[Split, Worth] | None:
    found = settle(inputs, pieces, objective_ms, below)
    return None if found.split is None or found.worth is None else (found.split, found.worth)

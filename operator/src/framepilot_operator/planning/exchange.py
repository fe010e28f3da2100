"""Makes a split cheaper by giving one module after the other another piece, as long as that helps.

What searches in depth looks near its first choices for long; this looks near a whole split, at little cost, for most
exchanges are seen to be too dear or too slow before anything is settled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from framepilot_operator.planning.pieces import PROVED, Piece
from framepilot_operator.planning.split import Split, Worth, settle

MOST_PIECES: Final = 80
"""Of each module, the best at what a millisecond is worth."""
MOST_TRIES: Final = 800


def exchanged(
    inputs: Sequence[Sequence[int]],
    pieces: Sequence[Sequence[Piece]],
    worth: Worth,
    objective_ms: float,
    split: Split,
) -> Split:
    """The split after all exchanges of one piece for another that help; `pieces` are those of each module."""
    best, tries = split, 0
    near = [
        sorted(each, key=lambda piece, at=slope: piece.reduced(at))[:MOST_PIECES]  # type: ignore[misc]
        for each, slope in zip(pieces, worth.modules, strict=True)
    ]
    before = None
    while best is not before:
        before = best
        for index, each in enumerate(near):
            for piece in each:
                if tries >= MOST_TRIES:
                    return best
                if piece == best.pieces[index]:
                    continue
                tries += 1
                chosen = [*best.pieces]
                chosen[index] = piece
                best = settle(inputs, chosen, objective_ms, best.cost * (1 - PROVED)).split or best
    return best

"""Convex hulls of costs as functions of a latency budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from framepilot_operator.planning.pieces import Piece

Hull = list[tuple[float, float]]
"""Budgets and costs of the corners of a convex, falling function; constant after the last."""


def hull(known: Hull, pieces: Sequence[Piece]) -> Hull:
    """The corners of the convex hull of what is known and of more pieces; of an arc a few points stand for it."""
    if not pieces:
        return known
    points = [*known]
    for piece in pieces:
        points.append((piece.low, piece.cost(piece.low)))
        if piece.rise and piece.high > piece.low:
            steps = (0.12, 0.35, 1.0)
            points += [(at, piece.cost(at)) for at in (piece.low + step * (piece.high - piece.low) for step in steps)]
    points.sort()
    return lower_hull(points)


def lower_hull(points: Iterable[tuple[float, float]]) -> Hull:
    """The corners of the convex hull of budgets and costs, which come by their budgets, as far as costs fall."""
    corners: Hull = []
    for budget, cost in points:
        if corners and cost >= corners[-1][1]:
            continue
        if corners and budget <= corners[-1][0] * (1 + 1e-12):
            corners.pop()
        while len(corners) > 1 and _bends_up(corners[-2], corners[-1], (budget, cost)):
            corners.pop()
        corners.append((budget, cost))
    return corners


def _bends_up(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Whether the middle one is not below the line between the others."""
    return (middle[1] - left[1]) * (right[0] - left[0]) >= (right[1] - left[1]) * (middle[0] - left[0])


def least_of(corners: Hull, slope: float) -> float:
    """The least of cost + slope x budget."""
    return min([cost + slope * budget for budget, cost in corners])


def segments(corners: Hull) -> list[tuple[float, float]]:
    """Slope (how much a millisecond saves) and length of each, steepest first."""
    return [
        ((left[1] - right[1]) / (right[0] - left[0]), right[0] - left[0])
        for left, right in pairwise(corners)
        if right[0] > left[0]
    ]

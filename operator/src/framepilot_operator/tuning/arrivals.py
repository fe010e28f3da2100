"""How many items a module gets in a second, and how unevenly they come.

A rate is forgotten exponentially like a factor, and steps at once when two windows in a row say so. One alone counts
as the limit of what is not far. What is far is judged by how uneven arrivals are: 3 items where 1 was expected say
nothing, 300 where 100 were do. A window stays open until something arrives, so a short silence, a camera that is opened
again, is not taken for another rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from framepilot_operator.planning.rates import ItemRate
from framepilot_operator.tuning.counters import ItemCounters

HALF_LIFE_S: Final = 10.0
WINDOW_S: Final = 0.9
"""A window is at least so long,"""
SILENCE_S: Final = 15.0
"""and at most so long if nothing arrives. It counts for no more than"""
WEIGHT_S: Final = 2.0
"""so long, for it may have been silent for a part of it;"""
LOST_S: Final = 30.0
"""and not at all if it is longer than this: nobody looked, or the clock was set."""
KNOWN_S: Final = 2.5
"""After so many seconds of windows a rate is known."""
FAR: Final = 0.25
"""A window that differs from the rate by this share of it is far, if that is not chance:"""
DEVIATIONS: Final = 3.0
"""so many standard deviations of what comes by chance."""
EVEN: Final = 0.3
"""Arrivals are not taken to be more even than this, nor a window to be off by less than"""
ITEMS: Final = 2.0
"""so many items."""
MOVED: Final = 1.15
"""A rate that differs by so much, and not by chance, from the one that plans are made with takes its place."""
SLOWEST_PER_S: Final = 0.01
"""No rate is taken to be lower, so that what happens to be silent has some weight."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is known of what a module gets.

    `since`: the counters at which the open window began. `items`, `seconds`, `squares` (of deviations, in expected
    items) and `windows` are sums that are forgotten exponentially. `strayed`: by how many items the last window was
    off, if that was far. `rate`: what plans are made with; None: not known yet.
    """

    since: ItemCounters
    items: float = 0.0
    seconds: float = 0.0
    squares: float = 0.0
    windows: float = 0.0
    strayed: float | None = None
    rate: ItemRate | None = None


def followed(arrivals: Arrivals | None, counters: ItemCounters, of_a_frame: float, streams: int) -> Arrivals:
    """What is known after another look; so many items of a frame come at the same moment, maybe of each stream."""
    if arrivals is None:
        return Arrivals(counters)
    if not counters.continues(arrivals.since) or counters.at - arrivals.since.at > LOST_S:
        return replace(arrivals, since=counters, strayed=None)
    items, seconds = counters.since(arrivals.since), counters.at - arrivals.since.at
    if seconds < WINDOW_S or (not items and seconds < SILENCE_S):
        return arrivals
    items, seconds = items * min(1.0, WEIGHT_S / seconds), min(seconds, WEIGHT_S)
    expected = arrivals.items / arrivals.seconds * seconds if arrivals.seconds else items
    off, limit = items - expected, _limit(arrivals, expected)
    strayed = off if abs(off) > limit else None
    if strayed is not None and arrivals.strayed is not None and (strayed > 0) == (arrivals.strayed > 0):
        return _settled(Arrivals(counters, items, seconds, rate=arrivals.rate), of_a_frame, streams, stepped=True)
    off = min(max(off, -limit), limit)
    kept = 0.5 ** (seconds / HALF_LIFE_S)
    counted = Arrivals(
        since=counters,
        items=arrivals.items * kept + expected + off,
        seconds=arrivals.seconds * kept + seconds,
        squares=arrivals.squares * kept + (off**2 / expected if expected else 0.0),
        windows=arrivals.windows * kept + 1,
        strayed=strayed,
        rate=arrivals.rate,
    )
    return _settled(counted, of_a_frame, streams, stepped=False)


def _limit(arrivals: Arrivals, expected: float) -> float:
    """By how many items a window may be off without being far."""
    chance = DEVIATIONS * math.sqrt(max(_dispersion(arrivals), EVEN) * max(expected, 1.0))
    return max(FAR * expected, chance, ITEMS)


def _dispersion(arrivals: Arrivals) -> float:
    return arrivals.squares / arrivals.windows if arrivals.windows else 0.0


def _settled(arrivals: Arrivals, of_a_frame: float, streams: int, *, stepped: bool) -> Arrivals:
    """What plans are made with, after a window that counted."""
    before, dispersion = arrivals.rate, _dispersion(arrivals)
    if before is None and (arrivals.seconds < KNOWN_S or not arrivals.items):
        return arrivals
    per_s = max(arrivals.items / arrivals.seconds, SLOWEST_PER_S)
    if before is not None and not stepped:
        chance = 2 * math.sqrt(max(dispersion, EVEN) / max(arrivals.items, 1.0))
        apart = max(per_s / before.per_s, before.per_s / per_s)
        even = dispersion <= 2 * max(before.dispersion, 1.0)
        if apart < max(MOVED, 1 + chance) and even:
            return arrivals
    dispersion = max(dispersion, before.dispersion / 2 if before else 0.0)
    return replace(arrivals, rate=ItemRate(per_s, streams * of_a_frame, dispersion, of_a_frame))

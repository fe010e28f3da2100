"""Which combinations of batch sizes are worth considering: a larger cycle must buy less device time.

The cycle is the time that one batch of every module takes together on their one device. The cost is the device time of
the items that come in one second; where their rates are not known, that of one item of each module. The frontier holds
every combination that no other one beats in both (Pareto), with batches that are full. It does not depend on the
objective: the planner takes the cheapest point whose cycle fits, so a laxer objective never costs more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from framepilot.scheduling.latency import batch_sizes
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.rates import ItemRate

WORTHWHILE: Final = 0.95
"""A batch twice as large is considered only if it brings the cost of an item to this share or less: it must pay."""
MOST_POINTS: Final = 512


@dataclass(frozen=True, slots=True)
class Choices:
    """The sizes that one module may have, ascending, its profile, and what it gets.

    `together`: how many items may come together at most; a batch that cannot fill saves nothing. None: not known.
    """

    profile: ModuleProfile
    sizes: tuple[int, ...]
    rate: ItemRate | None = None
    together: int | None = None

    def worthwhile(self) -> tuple[int, ...]:
        """The smallest size, and each larger one that costs clearly less for an item than those before it."""
        kept = [self.sizes[0]]
        for size in self.sizes[1:]:
            if self.cost_ms(size) <= WORTHWHILE ** math.log2(size / kept[-1]) * self.cost_ms(kept[-1]):
                kept.append(size)
        return tuple(kept)

    def cost_ms(self, size: int) -> float:
        """Device time of one item, milliseconds: in a full batch, or in the largest that there are items for."""
        filled = self._filled(size)
        return self.profile.typical_ms(filled) / filled

    def usual_cost_ms(self, size: int, wait_ms: float) -> float:
        """The same in a batch as it usually is when it waits for so long, where it is known how many items come."""
        if self.rate is None:
            return self.cost_ms(size)
        filled = max(1.0, min(size, self.rate.usual_in(wait_ms / 1000)))
        return self.profile.typical_ms(filled) / filled

    @property
    def weight(self) -> float:
        """How many of its items count."""
        return 1.0 if self.rate is None else self.rate.per_s

    def busy_ms(self, size: int) -> float:
        """Milliseconds in a second for which full batches keep the device busy; 0 where the rate is not known."""
        return 0.0 if self.rate is None else self.rate.per_s * self.profile.typical_ms(size) / size

    def fills(self, size: int) -> bool:
        """Whether that many items may come together."""
        return self._filled(size) == size

    def _filled(self, size: int) -> int:
        """The largest size that a batch of at most `size` will have."""
        if self.together is None or self.together >= size:
            return size
        return max(each for each in batch_sizes(size) if each <= self.together)


@dataclass(frozen=True, slots=True)
class Point:
    """One combination: a size for each module, its cycle and its cost in milliseconds."""

    cycle_ms: float
    cost_ms: float
    sizes: tuple[int, ...]


def point(modules: Sequence[Choices], sizes: Sequence[int]) -> Point:
    """The cycle and the cost of given sizes."""
    chosen = list(zip(modules, sizes, strict=True))
    return Point(
        cycle_ms=sum(module.profile.tail_ms(size) for module, size in chosen),
        cost_ms=sum(module.weight * module.cost_ms(size) for module, size in chosen),
        sizes=tuple(sizes),
    )


# The loop plans at every look, and a profile seldom changes.
@lru_cache(maxsize=256)
def frontier(modules: tuple[Choices, ...]) -> tuple[Point, ...]:
    """The frontier, cycles ascending and costs descending; the first point has the shortest cycle there is.

    It is exact as long as it has few points; a longer one is thinned evenly, so that many modules stay affordable.
    """
    points: tuple[Point, ...] = (Point(0, 0, ()),)
    for module in modules:
        options = [
            (size, module.profile.tail_ms(size), module.weight * module.cost_ms(size)) for size in module.worthwhile()
        ]
        combined = (
            Point(before.cycle_ms + tail_ms, before.cost_ms + cost_ms, (*before.sizes, size))
            for before in points
            for size, tail_ms, cost_ms in options
        )
        points = thinned(_undominated(combined), MOST_POINTS)
    return points


def thinned(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """Evenly, so that no more than these are left; the first and the last stay."""
    if len(points) <= most:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(position * last / (most - 1))] for position in range(most))


def _undominated(points: Iterable[Point]) -> list[Point]:
    kept: list[Point] = []
    for candidate in sorted(points, key=lambda one: (one.cycle_ms, one.cost_ms, one.sizes)):
        if not kept or candidate.cost_ms < kept[-1].cost_ms:
            kept.append(candidate)
    return kept

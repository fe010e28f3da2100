"""How long a batch takes, by its size: what the batcher needs to decide, and the planner to predict.

Between measured sizes the duration is linear, and it never falls with the size: noise in a measurement must not make a
larger batch look cheaper than a smaller one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MOST: Final = 4.0
"""How many times as long as expected a batch counts at most."""


def batch_sizes(cap: int) -> tuple[int, ...]:
    """The sizes that a module with this cap runs: 1, 2, 3, 4, 6, 8, 12, ... below the cap, and the cap.

    Powers of two and what is halfway between them: few, so that every one of them can be warmed and measured before it
    serves, and so close that of what waits a third at most is left for another batch.
    """
    powers = [2**power for power in range(max(cap, 1).bit_length())]
    halfway = [power + power // 2 for power in powers if power > 1]
    return (*sorted(size for size in (*powers, *halfway) if size < cap), max(cap, 1))


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Duration in seconds of one batch by its size, from measured (size, seconds) points, sizes ascending."""

    points: tuple[tuple[int, float], ...]

    @classmethod
    def measured(cls, points: Iterable[tuple[int, float]]) -> LatencyModel:
        """Build from points in any order; the last measurement of a size counts.

        Raises:
            ValueError: there is no point.
        """
        by_size = dict(points)
        if not by_size:
            raise ValueError("a latency model needs at least one measured batch size")
        highest = 0.0
        monotone = []
        for size, seconds in sorted(by_size.items()):
            highest = max(highest, seconds)
            monotone.append((size, highest))
        return cls(tuple(monotone))

    def seconds(self, size: float) -> float:
        """Duration of a batch of `size`; above the largest measured size in proportion to it (an upper bound)."""
        first_size, first = self.points[0]
        if size <= first_size:
            return first
        for (low_size, low), (high_size, high) in pairwise(self.points):
            if size <= high_size:
                return low + (high - low) * (size - low_size) / (high_size - low_size)
        last_size, last = self.points[-1]
        return last * size / last_size

    def towards(self, other: LatencyModel, weight: float) -> LatencyModel:
        """The model, moved towards another of the same sizes: at weight 1 it is the other one."""
        return LatencyModel.measured(
            (size, before + weight * (other.seconds(size) - before)) for size, before in self.points
        )

    def observed(self, size: int, seconds: float, weight: float = 0.1) -> LatencyModel:
        """The model after one more batch of a measured size: exponentially weighted.

        The other sizes change by the same factor. What slows one down, a busy machine or a warm chip, slows all; and
        a size that looks too slow to be run would never be measured again. What takes over `MOST` times as long counts
        as that: a machine that stood still for a minute is not slow afterwards, and one that is slow shows it again.
        """
        before = dict(self.points).get(size)
        if before is None or before <= 0:
            return self
        factor = 1 + weight * (min(seconds / before, MOST) - 1)
        return LatencyModel(tuple((known, duration * factor) for known, duration in self.points))

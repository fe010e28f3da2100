"""What is known of how long a module's batches take on one device class: a median and a tail, by batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from framepilot.contract.observed import ProfilePoint
from framepilot.resources.profile import ModelProfile
from framepilot.scheduling.latency import LatencyModel


@dataclass(frozen=True, slots=True)
class ModuleProfile:
    """Durations of one batch: median and 99th percentile. Sizes above `largest` were not measured."""

    typical: LatencyModel
    tail: LatencyModel
    largest: int

    def typical_ms(self, size: float) -> float:
        """Milliseconds of device time that a batch of this size usually takes; on average, of a size that is a mean."""
        return self.typical.seconds(size) * 1000

    def tail_ms(self, size: int) -> float:
        """Milliseconds within which 99 % of the batches of this size end."""
        return max(self.typical.seconds(size), self.tail.seconds(size)) * 1000


def from_observed(points: Sequence[ProfilePoint]) -> ModuleProfile | None:
    """The profile that an instance measured; None if it has not yet."""
    return _profile([(point.batch, point.p50_ms, point.p99_ms) for point in points])


def from_resource(profile: ModelProfile) -> ModuleProfile | None:
    """The profile that a resource holds."""
    return _profile([(point.batch, point.p50_ms, point.p99_ms) for point in profile.spec.points])


def _profile(points: Sequence[tuple[int, float, float]]) -> ModuleProfile | None:
    if not points:
        return None
    return ModuleProfile(
        typical=LatencyModel.measured((batch, p50_ms / 1000) for batch, p50_ms, _ in points),
        tail=LatencyModel.measured((batch, p99_ms / 1000) for batch, _, p99_ms in points),
        largest=max(batch for batch, _, _ in points),
    )

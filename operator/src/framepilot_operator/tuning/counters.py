"""What happened between two looks, from counters that only rise: so a look that was missed loses nothing.

A counter that fell, another process, or another version that serves means that counting began anew. Then nothing is
known of the time in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from framepilot.contract.observed import ObservedModule, ObservedState


@dataclass(frozen=True, slots=True)
class Batches:
    """Batches of one size: how many, and the seconds that they took together."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchCounters:
    """The batches of a version in a process, by size, as counted at one moment; `at` is Unix seconds."""

    at: float
    process: float
    digest: str
    batches: Mapping[int, Batches]

    @classmethod
    def of(cls, state: ObservedState, module: ObservedModule, at: float) -> BatchCounters | None:
        """Those of a module; None while nothing serves."""
        if module.serving is None:
            return None
        counted = {each.size: Batches(each.count, each.seconds) for each in module.batches}
        return cls(at, state.started_at, module.serving.sha256, counted)

    def continues(self, before: BatchCounters) -> bool:
        """Whether both are of the same counting."""
        return (
            (self.process, self.digest) == (before.process, before.digest)
            and self.at >= before.at
            and all(self._count(size) >= each.count for size, each in before.batches.items())
        )

    def since(self, before: BatchCounters) -> dict[int, Batches]:
        """What ran after an earlier look of the same counting; sizes of which none did are not there."""
        found = {}
        for size, now in self.batches.items():
            then = before.batches.get(size, Batches(0, 0.0))
            if now.count > then.count and now.seconds > then.seconds:
                found[size] = Batches(now.count - then.count, now.seconds - then.seconds)
        return found

    def _count(self, size: int) -> int:
        return self.batches[size].count if size in self.batches else 0


@dataclass(frozen=True, slots=True)
class ItemCounters:
    """What was made for a module, as counted at one moment; `at` is Unix seconds.

    `arrived`: its items. `frames` were given to its service to be run, of which `admitted` were let in: those that are
    left out under overload would have had items, too. Still ones are not to be run.
    """

    at: float
    arrived: int
    frames: int
    admitted: int

    def continues(self, before: ItemCounters) -> bool:
        """Whether both are of the same counting."""
        return (
            self.at >= before.at
            and self.arrived >= before.arrived
            and self.frames >= before.frames
            and self.admitted >= before.admitted
        )

    def since(self, before: ItemCounters) -> float:
        """The items that would have come if every frame had been let in."""
        items, admitted = self.arrived - before.arrived, self.admitted - before.admitted
        frames = self.frames - before.frames
        return items * max(1.0, frames / admitted) if admitted else float(items)

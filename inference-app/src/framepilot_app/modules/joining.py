"""Who joins a batch that is due: those that share a stage with it, as long as nobody comes too late for that. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from framepilot_app.modules.joint import JointPlan, Part
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.preprocess import Prepared
from framepilot_app.modules.queue import Item


class Joining:
    """A batch that grows. Times are seconds, `now` is monotonic."""

    def __init__(self, plan: JointPlan, due: Part, now: float, most: int) -> None:
        """`most` is how many pictures it may have."""
        self.parts = [due]
        self._plan = plan
        self._now = now
        self._most = max(most, len(due.items))
        self._pictures: set[Prepared] = set()
        self._rows: dict[int, set[Prepared]] = {}
        self._seconds = 0.0
        self._until = math.inf
        self._count(due.lane, due.items)

    def open_to(self, item: Item) -> bool:
        """Whether there is room for its picture."""
        return len(self._pictures) < self._most or item.prepared in self._pictures

    def fits(self, lane: Lane, items: Sequence[Item]) -> bool:
        """Whether these may run with it, too: all that is enforced can still be done in time."""
        new = [item.prepared for item in items]
        if len(self._pictures.union(new)) > self._most:
            return False
        seconds = self._seconds
        for index in self._plan.stages_of(lane):
            seconds += self._more_s(index, new)
        return self._now + seconds <= min(self._until, _tightest(items))

    def add(self, part: Part) -> None:
        """They fitted, and have been taken."""
        self.parts.append(part)
        self._count(part.lane, part.items)

    def _count(self, lane: Lane, items: Sequence[Item]) -> None:
        new = [item.prepared for item in items]
        self._pictures.update(new)
        for index in self._plan.stages_of(lane):
            self._seconds += self._more_s(index, new)
            self._rows.setdefault(index, set()).update(new)
        self._until = min(self._until, _tightest(items))

    def _more_s(self, index: int, new: Sequence[Prepared]) -> float:
        """How much longer a stage takes with these pictures."""
        latency = self._plan.ready[index].latency
        before = self._rows.get(index, set())
        more = latency.seconds(len(before.union(new)))
        return more - latency.seconds(len(before)) if before else more


def _tightest(items: Sequence[Item]) -> float:
    return min((item.deadline for item in items if item.journey.frame.enforced), default=math.inf)

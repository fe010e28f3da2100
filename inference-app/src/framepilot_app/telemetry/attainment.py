"""How a service kept to its objective of late: the share of its latest frames that were delivered within it. Pure.

Every frame counts that the service took on, as in the recording rules of the chart: delivered in time or not, or
dropped. One that was superseded does not: a newer frame of its stream, which says more of now, was taken instead, so it
was skipped and not missed. Nor does a still one, of which the last one that was run says what there is to say. One that
was refused at the gate does, for nothing took its place.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from framepilot_app.frames import Ended

SPAN_S: Final = 60.0
"""The share is that of the last minute."""

ENOUGH: Final = 100
"""Of fewer frames a share says little. Where a minute has not so many, it is that of the latest hundred."""

LONGEST_S: Final = 600.0
"""What ended longer ago says nothing of now."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What had ended at a monotonic time."""

    at_s: float
    ended: Ended


class AttainmentWindow:
    """The latest readings of one service, of one objective. Used in one thread."""

    def __init__(self) -> None:
        self._readings: deque[Reading] = deque()
        self._objective_ms: float | None = None

    def add(self, at_s: float, objective_ms: float, ended: Ended) -> None:
        """Take a reading under this objective, and forget those that are no longer needed."""
        if objective_ms != self._objective_ms:
            self._readings.clear()
            self._objective_ms = objective_ms
        now = Reading(at_s, ended)
        self._readings.append(now)
        while len(self._readings) > 1 and self._needless(now):
            self._readings.popleft()

    def share(self, objective_ms: float) -> float | None:
        """The share of frames within this objective; None while too few have ended under it."""
        if objective_ms != self._objective_ms:
            return None
        first, last = self._readings[0].ended, self._readings[-1].ended
        frames = last.frames - first.frames
        return None if frames < ENOUGH else round((last.within - first.within) / frames, 6)

    def _needless(self, now: Reading) -> bool:
        """Whether the oldest reading is too old, or the one after it goes far enough back."""
        oldest, second = self._readings[0], self._readings[1]
        if now.at_s - oldest.at_s > LONGEST_S:
            return True
        return now.at_s - second.at_s >= SPAN_S and now.ended.frames - second.ended.frames >= ENOUGH

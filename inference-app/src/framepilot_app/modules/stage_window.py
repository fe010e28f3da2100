"""What the latest items of a module spent where: a ring of numbers, which is read at once however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class StageTimes(NamedTuple):
    """What one item spent where, in seconds."""

    pre: float
    queue: float
    infer: float
    post: float


class StageWindow:
    """The latest items. Used under the lock of whoever has it."""

    def __init__(self, length: int) -> None:
        """`length`: how many items it remembers."""
        self._times = np.zeros((length, len(StageTimes._fields)))
        self._next = 0
        self._filled = 0

    def add(self, times: Sequence[StageTimes]) -> None:
        """Items have run."""
        length = len(self._times)
        for each in times:
            self._times[self._next] = each
            self._next = (self._next + 1) % length
        self._filled = min(self._filled + len(times), length)

    def latest(self, most: int) -> NDArray[np.float64]:
        """A copy, items x `StageTimes`, the oldest first; at most so many."""
        first = self._next - min(most, self._filled)
        if first >= 0:
            return self._times[first : self._next].copy()
        return np.concatenate((self._times[first:], self._times[: self._next]))

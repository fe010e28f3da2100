"""The most of a device's time that a service may take: one that is ahead of its limit waits, though the device be idle.

A leaky bucket (the generic cell rate algorithm, ITU-T I.371): what a batch took has to be over at the pace of the limit
before the next one may run. A batch cannot be cut short, so one that takes long is followed by a longer pause.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

BURST_S: Final = 0.1
"""So far, in seconds of time, a service may be ahead of its limit: batches do not come at the pace of a clock."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one service may take: `limit`, 0..1, of the device's time; until `used_until`, monotonic seconds, it has."""

    limit: float
    used_until: float = -math.inf

    @property
    def free_at(self) -> float:
        """When it may run its next batch, monotonic seconds; it may be past."""
        return self.used_until - BURST_S

    def after(self, now: float, seconds: float) -> Allowance:
        """A batch that began now has taken so much of the device's time."""
        return replace(self, used_until=max(self.used_until, now) + seconds / self.limit)


NO_LIMITS: Final[Mapping[str, Allowance]] = MappingProxyType({})

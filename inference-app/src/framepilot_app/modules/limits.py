"""Which services may take only a part of the device's time, and what they have taken of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from framepilot.scheduling.limits import NO_LIMITS, Allowance


class Limits:
    """Charged by the device thread only; the rest on any thread."""

    def __init__(self) -> None:
        self._limits: Mapping[str, float] = {}
        # Replaced as a whole, by the device thread.
        self._used_until: Mapping[str, float] = {}

    def limit(self, limits: Mapping[str, float]) -> None:
        """The most of the device's time, above 0 and below 1, that these services may take; others have no limit."""
        self._limits = limits

    def allowances(self) -> Mapping[str, Allowance]:
        """Of each service that has a limit: where it stands."""
        limits, used_until = self._limits, self._used_until
        if not limits:
            return NO_LIMITS
        return {service: Allowance(limit, used_until.get(service, -math.inf)) for service, limit in limits.items()}

    def charge(self, began_at: float, seconds: Mapping[str, float]) -> None:
        """A batch held the device from then on, and these services have to answer for so much of it."""
        if allowances := self.allowances():
            used = {name: each.after(began_at, seconds[name]) for name, each in allowances.items() if name in seconds}
            self._used_until = {name: each.used_until for name, each in {**allowances, **used}.items()}

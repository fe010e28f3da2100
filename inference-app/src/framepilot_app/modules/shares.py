"""Fair shares of the device between services: whoever has used least of it goes next.

Start-time fair queueing with equal weights (Goyal et al., SIGCOMM '96): a service that was idle starts at the share of
the least used active one, so that it cannot claim the time it left unused.
"""

from __future__ import annotations

from collections.abc import Iterable


class Shares:
    """Device seconds used by each service. Used by the device thread only."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        self._active: frozenset[str] = frozenset()

    def activate(self, services: Iterable[str]) -> None:
        """These services have something to run now."""
        active = frozenset(services)
        floor = min((self._used[service] for service in active & self._active), default=None)
        for service in active - self._active:
            self._used[service] = max(self._used.get(service, 0.0), floor or 0.0)
        self._active = active

    def used(self, service: str) -> float:
        """What orders the services: the least goes first."""
        return self._used[service]

    def charge(self, service: str, seconds: float) -> None:
        """A batch of this service held the device for so long."""
        self._used[service] += seconds

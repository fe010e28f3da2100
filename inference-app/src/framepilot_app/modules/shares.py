"""Shares of the device between services: whoever is least ahead of its share goes next.

Start-time fair queueing (Goyal et al., SIGCOMM '96), with what a service reserved and its part of the rest as its
weight (`framepilot.scheduling.reserves`): a service that was idle starts where the least advanced one is, so that it
cannot claim the time it left unused. Weights follow who has work, so what is kept is not virtual time but the device
seconds that a service is ahead of it; they mean the same whatever its weight becomes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from framepilot.scheduling.reserves import NOTHING_RESERVED, shares_of


class Shares:
    """Used by the device thread only, but for `reserve`."""

    def __init__(self) -> None:
        self._reserves = NOTHING_RESERVED
        self._ahead_s: dict[str, float] = {}
        self._ready: frozenset[str] = frozenset()
        self._shares: dict[str, float] = {}

    def reserve(self, reserves: Mapping[str, float]) -> None:
        """What each service reserved of the device's time, 0..1; in force from the next look on. On any thread."""
        self._reserves = reserves

    def look(self, ready: Iterable[str], working: Iterable[str]) -> None:
        """These services have a batch to run now, and these have frames in flight, which may be ready soon.

        A service that is between two batches, or took more than its share, is reckoned with as well.
        """
        self._ready = frozenset(ready)
        self._shares = shares_of({*self._ready, *working, *self._ahead_s}, self._reserves)

    def turn(self, service: str) -> float:
        """What orders the services that are ready: the least goes first. Seconds until it may run by its share."""
        return self._ahead_s.get(service, 0.0) / self._shares[service]

    def charge(self, seconds: Mapping[str, float]) -> None:
        """A batch held the device; it had items of these services, each of which has to answer for so much of it.

        One whose first items came after the last look, and joined, is reckoned with from the next look on.
        """
        passed = min(self.turn(each) for each in self._ready)
        ahead_s = {**self._ahead_s}
        for service, took in seconds.items():
            ahead_s[service] = ahead_s.get(service, 0.0) + took
        left_s = {each: ahead - passed * self._shares.get(each, 0.0) for each, ahead in ahead_s.items()}
        self._ahead_s = {each: left for each, left in left_s.items() if left > 0}

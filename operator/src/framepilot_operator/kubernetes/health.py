"""What the process answers to probes, from where it stands: starting, waiting for the lease, working, ending.

Restarting helps against a loop that is stuck; it does not help against an API server that is away. So a pass that
failed counts as alive, and as not ready.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

STUCK_S: Final = 60


class Passes(Protocol):
    """When the loop last looked at the cluster, and when it last saw it."""

    looked_at: float
    seen_at: float | None


class Health:
    """Where the process stands."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._trouble: Callable[[], str | None] = lambda: "starting"
        self._passes: Passes | None = None

    def waiting(self, trouble: Callable[[], str | None]) -> None:
        """From here on the process waits for the lease; `trouble` says why it could not even take it."""
        self._trouble = trouble

    def working(self, passes: Passes) -> None:
        """From here on the process works."""
        self._passes = passes
        self._trouble = self._not_seeing

    def ending(self) -> None:
        """From here on the process only ends."""
        self._passes = None
        self._trouble = lambda: "ending"

    def unhealthy(self) -> str | None:
        """Why the process should be restarted; None if it is well."""
        if self._passes is None:
            return None
        age = self._clock() - self._passes.looked_at
        return f"the loop has not looked at the cluster for {age:.0f} s" if age > STUCK_S else None

    def not_ready(self) -> str | None:
        """Why it neither works nor waits for its turn; None if it does."""
        return self._trouble()

    def _not_seeing(self) -> str | None:
        seen_at = self._passes.seen_at if self._passes else None
        if seen_at is None:
            return "the cluster was not observed yet"
        age = self._clock() - seen_at
        return f"the cluster could not be observed for {age:.0f} s" if age > STUCK_S else None

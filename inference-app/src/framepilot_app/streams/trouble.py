"""Whether a stream is in trouble, for who writes it down: a camera that comes and goes is so all the while. Pure.

A stall is said at once. It is over when frames have come for a while without another one, and another reason for it is
said once in a while only. So whoever follows this has a few changes a minute to write, and not one a flap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STEADY_S: Final = 30.0
"""Frames that have come for so long have come back."""

SAME_REASON_S: Final = 60.0
"""How long a reason is said before another one takes its place."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Times are monotonic seconds; `reason` None: there was no stall. `running_since` None: it is stalled."""

    reason: str | None = None
    said_at: float = 0.0
    running_since: float | None = None

    def stalled(self, reason: str, now: float) -> Trouble:
        """Nothing comes, for this reason."""
        if self.shown(now) is None or now - self.said_at >= SAME_REASON_S:
            return Trouble(reason, now)
        return Trouble(self.reason, self.said_at)

    def running(self, now: float) -> Trouble:
        """Frames come again."""
        return Trouble(self.reason, self.said_at, now)

    def shown(self, now: float) -> str | None:
        """The reason, as long as it is in trouble."""
        over = self.running_since is not None and now - self.running_since >= STEADY_S
        return None if over else self.reason

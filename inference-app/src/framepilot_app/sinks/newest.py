"""The newest delivered frame of each stream that somebody looks at: a reference to it, and none when nobody does.

`emit` is on the way of every frame; while nobody looks at anything it is one look at an empty dictionary.
"""

from __future__ import annotations

import threading
from typing import Final

from framepilot.contract.events import StreamKey
from framepilot_app.frames import Delivered, Outcome

KEEP_S: Final = 5.0
"""How long after the last look a stream's frames are still kept."""


class NewestFrames:
    """Thread-safe. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_at: dict[StreamKey, float] = {}
        self._newest: dict[StreamKey, Delivered] = {}

    def emit(self, outcome: Outcome) -> None:
        """A frame has ended. Never waits."""
        if not self._looked_at or not isinstance(outcome, Delivered):
            return
        with self._lock:
            if outcome.frame.stream in self._looked_at:
                self._newest[outcome.frame.stream] = outcome

    def look(self, stream: StreamKey, now: float) -> Delivered | None:
        """The newest frame that was delivered since somebody looks; frames are kept from now on."""
        with self._lock:
            self._looked_at[stream] = now
            return self._newest.get(stream)

    def forget(self, now: float) -> frozenset[StreamKey]:
        """Let go of what nobody has looked at lately; returns what is still looked at."""
        with self._lock:
            for stream, looked_at in [*self._looked_at.items()]:
                if now - looked_at > KEEP_S:
                    del self._looked_at[stream]
                    self._newest.pop(stream, None)
            return frozenset(self._looked_at)

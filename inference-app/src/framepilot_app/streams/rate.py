"""The measured rate of a stream: its frames of the last seconds, divided by the time since the first of them."""

from __future__ import annotations

from collections import deque
from threading import Lock

WINDOW_S = 5.0
MOST_TIMES = 512


class RateMeter:
    """Written by the reader's thread once a frame, read by any other. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._times: deque[float] = deque(maxlen=MOST_TIMES)

    def count(self, now: float) -> None:
        """A frame came now."""
        with self._lock:
            self._times.append(now)

    def fps(self, now: float) -> float:
        """Frames per second over the last `WINDOW_S` seconds, or over the last `MOST_TIMES` frames if that is less."""
        with self._lock:
            while self._times and now - self._times[0] > WINDOW_S:
                self._times.popleft()
            if len(self._times) < 2 or now <= self._times[0]:
                return 0.0
            return (len(self._times) - 1) / (now - self._times[0])

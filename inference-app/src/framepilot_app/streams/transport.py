"""How RTSP comes, over TCP or UDP: OpenCV takes that from the environment only, at the moment at which it opens.

The environment is the process's, and streams are opened by many threads. So who needs another value than it has waits
until the openings that began with the old one have read it for sure; who needs the same does not wait. FFmpeg's
options: https://ffmpeg.org/ffmpeg-protocols.html#rtsp
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Final

VARIABLE: Final = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

READ_S: Final = 0.5
"""An opening has read the environment by then; it does so first of all, before it asks the network anything."""


class TransportGate:
    """Passed by every thread right before it opens a source."""

    def __init__(
        self,
        environment: MutableMapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`environment` may hold options of the user's own; they stay."""
        self._environment = environment
        self._clock = clock
        self._sleep = sleep
        self._own = [option for option in (environment.get(VARIABLE), "allowed_media_types;video") if option]
        self._turn = threading.Lock()
        self._passed_at = float("-inf")

    def enter(self, transport: str) -> None:
        """Return when the environment says this transport to whoever opens now."""
        options = "|".join([f"rtsp_transport;{transport}", *self._own])
        # Who waits holds the turn, so that it is waited at most once.
        with self._turn:
            if self._environment.get(VARIABLE) != options:
                self._sleep(max(0.0, self._passed_at + READ_S - self._clock()))
                self._environment[VARIABLE] = options
            self._passed_at = self._clock()


GATE: Final = TransportGate(os.environ)
"""The one of this process."""

"""One opening of a live source and the reading of it, on a thread that can be given up.

A call of the system may hold its thread for ever: a driver, a name server, a network file system. No thread can be
ended from outside, so one that does not come back is left alone: it takes nothing from then on, and when its call
returns after all, it closes the source and ends. Whoever supervises it looks at `waits_since`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from framepilot_app.frames import Image
from framepilot_app.streams.camera import LiveSource
from framepilot_app.streams.capture import MOST_DECODE_ERRORS
from framepilot_app.streams.pace import Pace, Thinning
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.source import SourceError
from framepilot_app.streams.uri import redact

logger = logging.getLogger(__name__)


class _OverError(Exception):
    """It was cancelled, or given up, while a call went on."""


class Attempt:
    """From opening to end; `reason` says why it ended, once it is `over`."""

    def __init__(
        self,
        settings: ReaderSettings,
        opener: Callable[[], LiveSource],
        take: Callable[[Image, bool, float], None],
        clock: Callable[[], float],
        changed: Callable[[], None],
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        """`take` gets every frame that is kept, whether it is the first, and how many seconds of a processor it took to
        decode; `changed` is called at the end.
        """
        self._settings = settings
        self._shown = f"'{redact(settings.source)}'"
        self._opener = opener
        self._take = take
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._changed = changed
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._given_up = False
        self._first_at: float | None = None
        self._last_at = 0.0
        self._opened = False
        self.waits_since: float | None = None
        self.over = False
        self.reason = ""
        self._thread = threading.Thread(target=self._run, name="camera-reader", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether its thread is there."""
        return self._thread.is_alive()

    @property
    def opened(self) -> bool:
        """Whether the source is open, so that it is frames that are waited for."""
        return self._opened

    @property
    def gave_frames(self) -> bool:
        """Whether there was one."""
        return self._first_at is not None

    @property
    def ran_s(self) -> float:
        """From its first frame to its last, in seconds."""
        return 0.0 if self._first_at is None else self._last_at - self._first_at

    def start(self) -> None:
        """Open the source and read it. Once."""
        self._thread.start()

    def cancel(self) -> None:
        """End after the call that is under way."""
        self._cancelled.set()

    def join(self, timeout_s: float) -> None:
        """Wait for its end."""
        self._thread.join(timeout_s)

    def give_up(self) -> bool:
        """Take nothing from it any more; False if it is not held by a call."""
        with self._lock:
            self._given_up = self.waits_since is not None
            return self._given_up

    def silence(self) -> str:
        """Why it is said to be stalled while a call goes on for longer than the time-out."""
        timeout = f"{self._settings.timeout_s:g} s"
        if self._opened:
            return f"{self._shown} gave no frame for {timeout}"
        return f"{self._shown} could not be opened within {timeout}"

    def _run(self) -> None:
        try:
            self.reason = self._read()
        except _OverError:
            self.reason = "it was given up"
        except SourceError as error:
            self.reason = str(error)
        except Exception as error:
            logger.exception("reading %s failed", self._shown)
            self.reason = f"unexpected {type(error).__name__} while reading {self._shown}; the log has the details"
        self.over = True
        self._changed()

    def _read(self) -> str:
        source: LiveSource | None = None
        try:
            with self._waiting():
                source = self._opener()
            self._opened = True
            return self._follow(source)
        finally:
            if source is not None:
                source.close()

    def _follow(self, source: LiveSource) -> str:
        """Take frames until there are no more; why there are none."""
        settings = self._settings
        pace = Pace.of(source.fps, settings.fps, realtime=settings.realtime) if source.recorded else None
        thinning = Thinning(settings.fps)
        started, index = self._clock(), 0
        while True:
            if pace is not None:
                self._cancelled.wait(max(0.0, started + pace.due_s(index) - self._clock()))
            began, cpu_began = self._clock(), self._cpu_clock()
            with self._waiting():
                found = self._grab(source, began + settings.timeout_s)
            now = self._clock()
            if now - began >= settings.timeout_s:
                # FFmpeg gave up waiting and returned what it had kept back: it is as old as the silence is long.
                return self.silence()
            if not found:
                return f"{self._shown} has ended, or sends nothing any more that can be decoded"
            if pace.keeps(index) if pace is not None else thinning.keeps(now):
                with self._waiting():
                    image = source.retrieve()
                self._hand_on(image, self._cpu_clock() - cpu_began)
            index += 1

    def _grab(self, source: LiveSource, until: float) -> bool:
        """Decode the next frame; one that cannot be decoded is passed over, so many in a row and so long."""
        for _ in range(MOST_DECODE_ERRORS):
            # OpenCV says the same of a frame that is damaged and of the end; after the end it says so at once.
            if source.grab():
                return True
            if self._clock() >= until or self._cancelled.is_set():
                break
        return False

    def _hand_on(self, image: Image, decode_s: float) -> None:
        now = self._clock()
        first = self._first_at is None
        if first:
            self._first_at = now
        self._last_at = now
        self._take(image, first, decode_s)

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """Around a call that may not come back.

        Raises:
            _OverError: nobody wants what it returns, or it need not begin.
        """
        if self._cancelled.is_set():
            raise _OverError
        self.waits_since = self._clock()
        try:
            yield
        finally:
            with self._lock:
                self.waits_since = None
        if self._given_up:
            raise _OverError

"""One supervised thread for each opened source that comes to an end: it decodes every frame once and offers it to all.

Whether a frame waits, is superseded or is refused is the subscriber's decision: a lossless one blocks inside `offer`
until it has room, and with it the reader and every other subscriber of that reader; a newest one takes the frame and
returns. So the reader has no queue, and whoever must not be slowed by a lossless neighbour gets a reader of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from framepilot.contract.observed import StreamState
from framepilot_app.streams.audience import Audience, ReaderStatus, Subscriber
from framepilot_app.streams.open import open_source
from framepilot_app.streams.pace import Pace
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.source import Source, SourceError
from framepilot_app.streams.uri import redact

STOP_GRACE_S = 10.0

logger = logging.getLogger(__name__)


class Reader:
    """Reads one source from `start` until it ends, fails or is stopped.

    Subscribe before `start` to get the first frame. Waiting is done on `stopping`, so that `stop` interrupts it; close
    blocked subscribers before `stop`, for they hold the thread.
    """

    def __init__(
        self,
        settings: ReaderSettings,
        *,
        opener: Callable[[str], Source] = open_source,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
        cpu_clock: Callable[[], float] = time.thread_time,
        stopping: threading.Event | None = None,
    ) -> None:
        self.settings = settings
        self._opener = opener
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._stopping = stopping or threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream-reader", daemon=True)
        self._audience = Audience(redact(settings.source), clock, unix_clock)

    def start(self) -> None:
        """Open the source and begin to read. Once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and wait until the thread has given the source back."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_GRACE_S)
        if self._thread.is_alive():
            logger.error("the reader of %s is held by a subscriber or its source", redact(self.settings.source))

    def add(self, subscriber: Subscriber) -> None:
        """Offer it every frame from the next on; if the source is at its end, say so at once."""
        self._audience.add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Offer it nothing more; one offer may be under way. Removing one that is not subscribed does nothing."""
        self._audience.remove(subscriber)

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        """Who is offered the next frame."""
        return self._audience.subscribers

    def status(self) -> ReaderStatus:
        """What the stream does now."""
        return self._audience.status()

    def _run(self) -> None:
        try:
            self._read_epochs()
        except SourceError as error:
            self._audience.end(StreamState.FAILED, str(error))
        except Exception as error:
            logger.exception("the reader of %s failed", redact(self.settings.source))
            reason = f"unexpected {type(error).__name__} while reading; the log has the details"
            self._audience.end(StreamState.FAILED, reason)
        else:
            if not self._stopping.is_set():
                self._audience.end(StreamState.ENDED, None)

    def _read_epochs(self) -> None:
        again = True
        while again and not self._stopping.is_set():
            self._audience.begin_epoch()
            source = self._opener(self.settings.source)
            try:
                self._read(source)
            finally:
                source.close()
            again = self.settings.loop

    def _read(self, source: Source) -> None:
        """Read one epoch: from the opening of the source to its end, or to `stop`."""
        pace = Pace.of(source.fps, self.settings.fps, realtime=self.settings.realtime)
        started = self._clock()
        index = offered = 0
        while self._wait_until(started + pace.due_s(index)):
            started = pace.go_on_from(started, index, self._clock())
            if pace.keeps(index):
                began = self._cpu_clock()
                image = source.read()
                if image is None:
                    break
                offered = self._audience.offer(image, self._cpu_clock() - began)
            elif not source.skip():
                break
            index += 1
        if offered == 0 and not self._stopping.is_set():
            raise SourceError(f"'{redact(self.settings.source)}' gave no frame; check that it is whole")

    def _wait_until(self, due: float) -> bool:
        """Wait until then, not at all if it is past; False when the reader is stopped."""
        delay = due - self._clock()
        return not (self._stopping.wait(delay) if delay > 0 else self._stopping.is_set())

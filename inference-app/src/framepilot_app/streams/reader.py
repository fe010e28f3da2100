"""One supervised thread for each opened source: it decodes every frame once and offers it to all who subscribed.

Whether a frame waits, is superseded or is refused is the subscriber's decision: a lossless one blocks inside `offer`
until it has room, and with it the reader and every other subscriber of that reader; a newest one takes the frame and
returns. So the reader has no queue, and whoever must not be slowed by a lossless neighbour gets a reader of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from framepilot.contract.observed import StreamState
from framepilot_app.frames import Image
from framepilot_app.streams.open import open_source, redact
from framepilot_app.streams.pace import Pace
from framepilot_app.streams.rate import RateMeter
from framepilot_app.streams.source import Source, SourceError

STOP_GRACE_S = 10.0

logger = logging.getLogger(__name__)


class Subscriber(Protocol):
    """Takes frames of one reader, in its thread; one last `offer` can come while it is being removed."""

    def offer(self, image: Image, epoch: int, sequence: int, captured_at: float, captured_unix: float) -> None:
        """Take one frame, which is read-only and shared; return at once, or block until there is room or it is closed.

        `captured_at` is monotonic, `captured_unix` is for people; both are seconds, at the return of decode.
        """

    def ended(self, reason: str | None) -> None:
        """No frame will come any more: the source came to its end (None) or failed. Not called by `Reader.stop`."""


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """What to read and how fast; services with equal settings can share a reader.

    `fps` caps the rate. In real time it leaves surplus frames out before they are decoded to pictures: they are not
    ingested, have no sequence number and are not drops. Without `realtime` it paces the source and leaves nothing out.
    """

    source: str
    fps: float | None = None
    loop: bool = False
    realtime: bool = True


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """What `/status` says of a stream: `fps` is measured over the last seconds, `epoch` is that of the last opening."""

    state: StreamState
    fps: float
    epoch: int | None
    reason: str | None


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
        stopping: threading.Event | None = None,
    ) -> None:
        self.settings = settings
        self._opener = opener
        self._clock = clock
        self._unix_clock = unix_clock
        self._stopping = stopping or threading.Event()
        self._thread = threading.Thread(target=self._run, name="stream-reader", daemon=True)
        self._lock = threading.Lock()
        # Replaced under the lock, never changed in place: the thread reads it once a frame without the lock.
        self._subscribers: tuple[Subscriber, ...] = ()
        self._state = StreamState.CONNECTING
        self._reason: str | None = None
        self._epoch: int | None = None
        self._rate = RateMeter()

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
        with self._lock:
            over = self._state in {StreamState.ENDED, StreamState.FAILED}
            if not over:
                self._subscribers = (*self._subscribers, subscriber)
        if over:
            subscriber.ended(self._reason)

    def remove(self, subscriber: Subscriber) -> None:
        """Offer it nothing more; one offer may be under way. Removing one that is not subscribed does nothing."""
        with self._lock:
            self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        """Who is offered the next frame."""
        return self._subscribers

    def status(self) -> ReaderStatus:
        """What the stream does now."""
        with self._lock:
            return ReaderStatus(self._state, self._rate.fps(self._clock()), self._epoch, self._reason)

    def _run(self) -> None:
        try:
            self._read_epochs()
        except SourceError as error:
            self._end(StreamState.FAILED, str(error))
        except Exception as error:
            logger.exception("the reader of %s failed", redact(self.settings.source))
            self._end(StreamState.FAILED, f"unexpected {type(error).__name__} while reading; the log has the details")
        else:
            if not self._stopping.is_set():
                self._end(StreamState.ENDED, None)

    def _read_epochs(self) -> None:
        again = True
        while again and not self._stopping.is_set():
            epoch = self._begin_epoch()
            source = self._opener(self.settings.source)
            try:
                self._read(source, epoch)
            finally:
                source.close()
            again = self.settings.loop

    def _begin_epoch(self) -> int:
        with self._lock:
            self._epoch = max(int(self._unix_clock() * 1000), (self._epoch or 0) + 1)
            return self._epoch

    def _read(self, source: Source, epoch: int) -> None:
        """Read one epoch: from the opening of the source to its end, or to `stop`."""
        pace = Pace.of(source.fps, self.settings.fps, realtime=self.settings.realtime)
        started = self._clock()
        index = sequence = 0
        while self._wait_until(started + pace.due_s(index)):
            if pace.keeps(index):
                image = source.read()
                if image is None:
                    break
                self._offer(image, epoch, sequence)
                sequence += 1
            elif not source.skip():
                break
            index += 1
        if sequence == 0 and not self._stopping.is_set():
            raise SourceError(f"'{redact(self.settings.source)}' gave no frame; check that it is whole")

    def _wait_until(self, due: float) -> bool:
        """Wait until then, not at all if it is past; False when the reader is stopped."""
        delay = due - self._clock()
        return not (self._stopping.wait(delay) if delay > 0 else self._stopping.is_set())

    def _offer(self, image: Image, epoch: int, sequence: int) -> None:
        captured_at, captured_unix = self._clock(), self._unix_clock()
        image.flags.writeable = False
        self._rate.count(captured_at)
        if self._state is StreamState.CONNECTING:
            with self._lock:
                self._state = StreamState.RUNNING
        for subscriber in self._subscribers:
            try:
                subscriber.offer(image, epoch, sequence, captured_at, captured_unix)
            except Exception:
                logger.exception("a subscriber of %s raised; it gets no more frames", redact(self.settings.source))
                self.remove(subscriber)

    def _end(self, state: StreamState, reason: str | None) -> None:
        with self._lock:
            self._state, self._reason = state, reason
            told, self._subscribers = self._subscribers, ()
        for subscriber in told:
            try:
                subscriber.ended(reason)
            except Exception:
                logger.exception("a subscriber of %s raised at the end", redact(self.settings.source))

"""Who gets the frames of one reader, and what is known of its stream: written by its threads, read by any other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from framepilot.contract.observed import StreamState
from framepilot_app.frames import Image
from framepilot_app.streams.rate import RateMeter
from framepilot_app.streams.trouble import Trouble

logger = logging.getLogger(__name__)

OVER = frozenset({StreamState.ENDED, StreamState.FAILED})
"""No frame will come any more."""


class Subscriber(Protocol):
    """Takes frames of one reader, in its thread; one last `offer` can come while it is being removed."""

    def offer(self, image: Image, epoch: int, sequence: int, captured_at: float, captured_unix: float) -> None:
        """Take one frame, which is read-only and shared; return at once, or block until there is room or it is closed.

        `captured_at` is monotonic, `captured_unix` is for people; both are seconds, at the return of decode.
        """

    def ended(self, reason: str | None) -> None:
        """No frame will come any more: the source came to its end (None) or failed. Not called by a reader's `stop`."""


@dataclass(frozen=True, slots=True)
class ReaderStatus:
    """What `/status` says of a stream: `fps` is measured over the last seconds, `epoch` is that of the last opening.

    `trouble` is why it was interrupted, and stays until it has run steadily again. `reconnects` counts the openings
    after the first, `hung` those that had to be given up because the system did not come back from them. `decode_s` is
    the processor's time that decoding took.
    """

    state: StreamState
    fps: float
    epoch: int | None
    reason: str | None
    trouble: str | None = None
    reconnects: int = 0
    hung: int = 0
    decode_s: float = 0.0


class Audience:
    """The subscribers of one reader and the state of its stream; `shown` names the source in the log."""

    def __init__(self, shown: str, clock: Callable[[], float], unix_clock: Callable[[], float] = time.time) -> None:
        self._shown = shown
        self._clock = clock
        self._unix_clock = unix_clock
        self._lock = threading.Lock()
        # Replaced under the lock, never changed in place: the thread reads it once a frame without the lock.
        self._subscribers: tuple[Subscriber, ...] = ()
        self._state = StreamState.CONNECTING
        self._reason: str | None = None
        self._epoch: int | None = None
        self._sequence = 0
        self._trouble = Trouble()
        self._reconnects = 0
        self._hung = 0
        self._decode_s = 0.0
        self._rate = RateMeter()

    @property
    def subscribers(self) -> tuple[Subscriber, ...]:
        """Who is offered the next frame."""
        return self._subscribers

    def add(self, subscriber: Subscriber) -> None:
        """Offer it every frame from the next on; if the source is at its end, say so at once."""
        with self._lock:
            over = self._state in OVER
            if not over:
                self._subscribers = (*self._subscribers, subscriber)
        if over:
            subscriber.ended(self._reason)

    def remove(self, subscriber: Subscriber) -> None:
        """Offer it nothing more; one offer may be under way. Removing one that is not subscribed does nothing."""
        with self._lock:
            self._subscribers = tuple(other for other in self._subscribers if other is not subscriber)

    def begin_epoch(self) -> None:
        """The source is opened: a number greater than all before, whatever the clock on the wall does."""
        with self._lock:
            self._epoch = max(int(self._unix_clock() * 1000), (self._epoch or 0) + 1)
            self._sequence = 0

    def offer(self, image: Image, decode_s: float) -> int:
        """Offer the next frame of the epoch to all; how many the epoch has had.

        `decode_s` is how much of a processor's time it took to decode.
        """
        captured_at, captured_unix = self._clock(), self._unix_clock()
        image.flags.writeable = False
        self._rate.count(captured_at)
        self._decode_s += decode_s
        if self._state is not StreamState.RUNNING:
            if self._state is StreamState.STALLED:
                logger.info("%s gives frames again", self._shown)
            with self._lock:
                self._state, self._reason = StreamState.RUNNING, None
                self._trouble = self._trouble.running(captured_at)
        epoch, sequence = self._epoch or 0, self._sequence
        self._sequence += 1
        for subscriber in self._subscribers:
            try:
                subscriber.offer(image, epoch, sequence, captured_at, captured_unix)
            except Exception:
                logger.exception("a subscriber of %s raised; it gets no more frames", self._shown)
                self.remove(subscriber)
        return self._sequence

    def stalled(self, reason: str) -> None:
        """Nothing comes now; it is opened again."""
        with self._lock:
            if (self._state, self._reason) == (StreamState.STALLED, reason):
                return
            self._state, self._reason = StreamState.STALLED, reason
            self._trouble = self._trouble.stalled(reason, self._clock())
        logger.warning("%s is stalled: %s", self._shown, reason)

    def reconnecting(self) -> None:
        """It is opened once more."""
        with self._lock:
            self._reconnects += 1

    def gave_up(self) -> None:
        """A call of the system did not come back, and is waited for no longer."""
        with self._lock:
            self._hung += 1

    def end(self, state: StreamState, reason: str | None) -> None:
        """No frame will come any more."""
        with self._lock:
            self._state, self._reason = state, reason
            told, self._subscribers = self._subscribers, ()
        for subscriber in told:
            try:
                subscriber.ended(reason)
            except Exception:
                logger.exception("a subscriber of %s raised at the end", self._shown)

    def status(self) -> ReaderStatus:
        """What the stream does now."""
        with self._lock:
            now = self._clock()
            return ReaderStatus(
                state=self._state,
                fps=self._rate.fps(now),
                epoch=self._epoch,
                reason=self._reason,
                trouble=self._trouble.shown(now),
                reconnects=self._reconnects,
                hung=self._hung,
                decode_s=self._decode_s,
            )

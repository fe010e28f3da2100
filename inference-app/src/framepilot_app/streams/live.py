"""The reader of a live source: whenever it ends, fails or falls silent it is stalled, and is opened again, for ever.

Two threads: one reads (`streams/attempt.py`) and may be held by the system; one supervises it, and never is. It says
that the source is stalled as soon as a call has lasted for the time-out, gives up on a thread that does not come back
soon after that, and waits between two openings as `streams/reconnect.py` says, or until other credentials are there.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from framepilot_app.credentials import CredentialsError, Login
from framepilot_app.frames import Image
from framepilot_app.streams.attempt import Attempt
from framepilot_app.streams.audience import Audience, ReaderStatus, Subscriber
from framepilot_app.streams.camera import LiveSource, open_camera
from framepilot_app.streams.reconnect import Reconnect
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.source import SourceError
from framepilot_app.streams.uri import redact

HANG_GRACE_S: Final = 2.0
"""How long after its time-out a call may still come back by itself."""

STOP_GRACE_S: Final = 1.0
"""How long a stop waits for the call that is under way."""

MOST_HANGING: Final = 2
"""Threads of one source that may hang at once; while they do it is not opened again."""

LOOK_S: Final = 1.0
"""How often it is looked for other credentials, and for the end of what hangs."""

Opener = Callable[..., LiveSource]

logger = logging.getLogger(__name__)


class LiveReader:
    """Reads one live source from `start` until it is stopped. Close blocked subscribers before `stop`."""

    def __init__(
        self,
        settings: ReaderSettings,
        *,
        hardware: bool = False,
        opener: Opener = open_camera,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        hang_grace_s: float = HANG_GRACE_S,
    ) -> None:
        """`hardware`: try to decode with what the machine has for it; `jitter` gives random numbers in 0..1."""
        self.settings = settings
        self._hardware = hardware
        self._opener = opener
        self._clock = clock
        self._jitter = jitter
        self._hang_grace_s = hang_grace_s
        self._audience = Audience(redact(settings.source), clock, unix_clock)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="camera-supervisor", daemon=True)
        self._hanging: list[Attempt] = []
        self._login: Login | None = None

    def start(self) -> None:
        """Begin to open the source. Once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; a call that does not come back is not waited for."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def add(self, subscriber: Subscriber) -> None:
        """Offer it every frame from the next on."""
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

    def _supervise(self) -> None:
        reconnect = Reconnect()
        hardware = self._hardware
        while not self._stopping.is_set():
            attempt = self._attempt(hardware=hardware)
            reason = self._watch(attempt)
            if self._stopping.is_set():
                return
            self._audience.stalled(reason)
            reconnect = reconnect.after(attempt.ran_s)
            # Where nothing came of the decoder of the machine, the next opening does without.
            hardware = self._hardware and not (hardware and not attempt.gave_frames)
            self._pause(reconnect.delay_s(self._jitter()))
            self._audience.reconnecting()

    def _attempt(self, *, hardware: bool) -> Attempt:
        attempt = Attempt(
            self.settings, lambda: self._open(hardware=hardware), self._take, self._clock, changed=self._wake.set
        )
        attempt.start()
        return attempt

    def _open(self, *, hardware: bool) -> LiveSource:
        try:
            self._login = login = self._current_login()
        except CredentialsError as error:
            raise SourceError(f"'{redact(self.settings.source)}' is not opened: {error}") from None
        return self._opener(self.settings, login, hardware=hardware)

    def _current_login(self) -> Login | None:
        return self.settings.credentials.of(self.settings.login_name)

    def _take(self, image: Image, first: bool, decode_s: float) -> None:
        if first:
            self._audience.begin_epoch()
        self._audience.offer(image, decode_s)

    def _watch(self, attempt: Attempt) -> str:
        """Until the attempt has ended, hangs, or the reader is stopped; why it gives nothing any more."""
        while not attempt.over:
            if self._stopping.is_set():
                self._end(attempt)
                break
            since, now = attempt.waits_since, self._clock()
            waited_s = 0.0 if since is None else now - since
            left_s = self.settings.timeout_s - waited_s
            if left_s <= 0:
                self._audience.stalled(attempt.silence())
                left_s += self._hang_grace_s
                if left_s <= 0 and attempt.give_up():
                    return self._gave_up(attempt)
            self._wake.wait(max(left_s, 0.001))
            self._wake.clear()
        return attempt.reason

    def _end(self, attempt: Attempt) -> None:
        attempt.cancel()
        attempt.join(STOP_GRACE_S)
        if attempt.give_up():
            logger.warning(
                "%s is held by a call that does not come back; it is left alone", redact(self.settings.source)
            )

    def _gave_up(self, attempt: Attempt) -> str:
        attempt.cancel()
        self._audience.gave_up()
        self._hanging.append(attempt)
        return f"{attempt.silence()}, and the system does not come back from the call"

    def _pause(self, delay_s: float) -> None:
        """Wait before the next opening; not longer than until other credentials are there."""
        until = self._clock() + delay_s
        while not self._stopping.is_set():
            self._hanging = [attempt for attempt in self._hanging if attempt.alive]
            left_s = until - self._clock()
            if len(self._hanging) < MOST_HANGING and (left_s <= 0 or self._login_changed()):
                return
            self._wake.wait(LOOK_S if left_s <= 0 else min(left_s, LOOK_S))
            self._wake.clear()

    def _login_changed(self) -> bool:
        try:
            return self._current_login() != self._login
        except CredentialsError:
            return False

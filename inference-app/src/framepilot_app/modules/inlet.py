"""Where a stream's frames enter a service: the delivery rule.

*Lossless*: the source waits until one of the frames in flight has ended. *Newest*: the source never waits; one frame
may wait in its place, and a newer one supersedes it. Either way the frames in flight are bounded by the window, and so
is memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from framepilot.contract.desired import Delivery
from framepilot.contract.events import FrameId
from framepilot_app.frames import Dropped, DropReason, Frame, Image, Outcome
from framepilot_app.modules.graph import Graph
from framepilot_app.modules.journey import Journey
from framepilot_app.modules.line import Line

STOP_CHECK_S = 1.0
"""How often a waiting source looks whether it was closed, should a wake-up have been missed."""


class Inlet:
    """The subscriber of a reader: called by the reader's thread (`offer`) and by workers when a frame has ended."""

    def __init__(
        self,
        service: str,
        stream: str,
        delivery: Delivery,
        objective_s: float,
        line: Line,
        graph: Callable[[], Graph],
        start: Callable[[Journey], None],
        window: Callable[[], int],
    ) -> None:
        self.line = line
        self.ended_reason: str | None = None
        self._service = service
        self._stream = stream
        self._delivery = delivery
        self.objective_s = objective_s
        self._graph = graph
        self._start = start
        self._window = window
        # A reader may have begun before, for another service: this one's ids count from where it came in.
        self._opened_ms = int(time.time() * 1000)
        self._epoch: int | None = None
        self._own_epoch = 0
        self._first_sequence = 0
        self._room = threading.Condition()
        self._under_way = 0
        self._next: Journey | None = None
        self._closed = False

    def offer(self, image: Image, epoch: int, sequence: int, captured_at: float, captured_unix: float) -> None:
        """A decoded frame. Blocks while the window is full if the stream is lossless."""
        if epoch != self._epoch:
            self._epoch, self._first_sequence = epoch, sequence
            # No id twice, whatever the clock on the wall did meanwhile.
            self._own_epoch = max(epoch, self._opened_ms, self._own_epoch + 1)
        frame = Frame(
            id=FrameId(self._service, self._stream, self._own_epoch, sequence - self._first_sequence),
            image=image,
            captured_at=captured_at,
            captured_unix=captured_unix,
            deadline=captured_at + self.objective_s,
            enforced=self._delivery is Delivery.NEWEST,
        )
        journey = Journey(frame, self._graph(), self._settle)
        self.line.admit(journey)
        if self._delivery is Delivery.LOSSLESS:
            self._start_when_room(journey)
        else:
            self._start_or_wait(journey)

    def ended(self, reason: str | None) -> None:
        """The source came to its end; what is in flight goes on."""
        self.ended_reason = reason

    def close(self) -> None:
        """No more frames are expected; one that waits for room is let in, so that nothing is lost."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def look_again(self) -> None:
        """The window may have become wider."""
        with self._room:
            self._room.notify_all()

    def _settle(self, journey: Journey, outcome: Outcome) -> None:
        """A frame that was started has ended."""
        self.line.settle(journey, outcome)
        with self._room:
            self._under_way -= 1
            following, self._next = self._next, None
            if following is not None:
                self._under_way += 1
            self._room.notify()
        if following is not None:
            self._start(following)

    def _start_when_room(self, journey: Journey) -> None:
        with self._room:
            while self._under_way >= self._window() and not self._closed:
                self._room.wait(STOP_CHECK_S)
            self._under_way += 1
        self._start(journey)

    def _start_or_wait(self, journey: Journey) -> None:
        with self._room:
            superseded: Journey | None = None
            start = self._under_way < self._window()
            if start:
                self._under_way += 1
            else:
                superseded, self._next = self._next, journey
        if start:
            self._start(journey)
        if superseded is not None:
            # It keeps its place in the line until those before it have ended, but not its picture.
            frame = replace(superseded.frame, image=np.broadcast_to(np.uint8(0), superseded.frame.image.shape))
            superseded.frame = frame
            self.line.settle(superseded, Dropped(frame, DropReason.SUPERSEDED))

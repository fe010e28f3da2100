"""Where a stream's frames enter a service: the delivery rule.

*Lossless*: the source waits until one of the frames in flight has ended. *Newest*: the source never waits; one frame
may wait at the gate, and a newer one supersedes it. Either way the frames in flight are bounded by the window, and so
is memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from framepilot.contract.desired import Delivery, DesiredStream
from framepilot.contract.events import FrameId
from framepilot_app.frames import Dropped, DropReason, Frame, Image, Outcome
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.graph import Graph
from framepilot_app.modules.journey import Journey
from framepilot_app.modules.line import Line

STOP_CHECK_S = 1.0
"""How often a waiting source looks whether it was closed, should a wake-up have been missed."""


class Inlet:
    """The subscriber of a reader: called by the reader's thread (`offer`) and by workers when a frame has ended.

    `window` is how many frames may be in flight: of this stream if it is lossless, of all newest streams of the service
    otherwise. `priority` and `objective_s` may be changed at any time.
    """

    def __init__(
        self,
        service: str,
        declared: DesiredStream,
        objective_s: float,
        line: Line,
        graph: Callable[[], Graph],
        start: Callable[[Journey], None],
        window: Callable[[], int],
        gate: Gate,
    ) -> None:
        self.line = line
        self.ended_reason: str | None = None
        self.objective_s = objective_s
        self.priority = declared.priority
        self._service = service
        self._stream = declared.name
        self._lossless = declared.delivery is Delivery.LOSSLESS
        self._graph = graph
        self._start = start
        self._window = window
        self._gate = gate
        # A reader may have begun before, for another service: this one's ids count from where it came in.
        self._opened_ms = int(time.time() * 1000)
        self._epoch: int | None = None
        self._own_epoch = 0
        self._first_sequence = 0
        self._room = threading.Condition()
        self._under_way = 0
        self._closed = False

    def offer(
        self, image: Image, epoch: int, sequence: int, captured_at: float, captured_unix: float, decode_s: float
    ) -> None:
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
            enforced=not self._lossless,
            priority=self.priority,
            decode_s=decode_s,
        )
        journey = Journey(frame, self._graph(), self._settle)
        self.line.admit(journey)
        if self._lossless:
            self._start_when_room(journey)
        else:
            self._gate.wait(journey, self, self._window)

    def ended(self, reason: str | None) -> None:
        """The source came to its end; what is in flight goes on."""
        self.ended_reason = reason

    def close(self) -> None:
        """No more frames are expected; one that waits for room is let in, so that nothing is lost."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._gate.forget((self._service, self._stream))

    def let_in(self, journey: Journey) -> None:
        """The gate opened for a frame."""
        self._start(journey)

    def refuse(self, journey: Journey, reason: DropReason) -> None:
        """The gate stayed shut. The frame keeps its place until those before it have ended, but not its picture."""
        frame = replace(journey.frame, image=np.broadcast_to(np.uint8(0), journey.frame.image.shape))
        journey.frame = frame
        self.line.settle(journey, Dropped(frame, reason))

    def look_again(self) -> None:
        """The window may have become wider."""
        with self._room:
            self._room.notify_all()

    def _settle(self, journey: Journey, outcome: Outcome) -> None:
        """A frame that was started has ended."""
        self.line.settle(journey, outcome)
        self._gate.ended(journey, outcome)
        with self._room:
            self._under_way -= self._lossless
            self._room.notify()

    def _start_when_room(self, journey: Journey) -> None:
        with self._room:
            while self._under_way >= self._window() and not self._closed:
                self._room.wait(STOP_CHECK_S)
            self._under_way += 1
        self._gate.started(journey)
        self._start(journey)

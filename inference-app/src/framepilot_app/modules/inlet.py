"""Where a stream's frames enter a service: which of them are run, and the delivery rule.

If the stream says so, a frame is run only if something has changed since the last one that was let through
(`framepilot_app.streams.motion`), or if that is long ago. One that was let through and then dropped has answered
nothing, so the next one is run in its stead.

*Lossless*: the source waits until one of the frames in flight has ended. *Newest*: the source never waits; one frame
may wait at the gate, and a newer one supersedes it. Either way the frames in flight are bounded by the window, and so
is memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from framepilot.contract.desired import Delivery, DesiredMotion, DesiredStream
from framepilot.contract.events import FrameId
from framepilot_app.frames import Dropped, DropReason, Frame, Image, Outcome
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.graph import Graph
from framepilot_app.modules.journey import Journey
from framepilot_app.modules.line import Line
from framepilot_app.streams.motion import Cells, cells, change

STOP_CHECK_S = 1.0
"""How often a waiting source looks whether it was closed, should a wake-up have been missed."""


@dataclass(frozen=True, slots=True)
class _Passed:
    """The last frame that was let through, and what it showed."""

    frame: FrameId
    cells: Cells
    captured_at: float


class Inlet:
    """The subscriber of a reader: called by the reader's thread (`offer`) and by workers when a frame has ended.

    `window` is how many frames may be in flight: of this stream if it is lossless, of all newest streams of the service
    otherwise. `priority`, `motion` and `objective_s` may be changed at any time.
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
        self.motion = declared.motion
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
        # Written by the reader's thread alone,
        self._passed: _Passed | None = None
        # and by whichever thread ends a frame.
        self._unanswered: FrameId | None = None
        self._room = threading.Condition()
        self._under_way = 0
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
            enforced=not self._lossless,
            priority=self.priority,
        )
        journey = Journey(frame, self._graph(), self._settle)
        still = self._is_still(frame, self.motion)
        self.line.admit(journey, still=still)
        if self._lossless:
            self._start_when_room(journey, still=still)
        elif still:
            self.refuse(journey, DropReason.STILL)
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
        """A frame is not run. It keeps its place until those before it have ended, but not its picture."""
        frame = replace(journey.frame, image=np.broadcast_to(np.uint8(0), journey.frame.image.shape))
        journey.frame = frame
        self._dropped(frame)
        self.line.settle(journey, Dropped(frame, reason))

    def look_again(self) -> None:
        """The window may have become wider."""
        with self._room:
            self._room.notify_all()

    def _settle(self, journey: Journey, outcome: Outcome) -> None:
        """A frame that was started has ended."""
        if isinstance(outcome, Dropped):
            self._dropped(outcome.frame)
        self.line.settle(journey, outcome)
        self._gate.ended(journey, outcome)
        with self._room:
            self._under_way -= self._lossless
            self._room.notify()

    def _is_still(self, frame: Frame, motion: DesiredMotion | None) -> bool:
        """Whether it need not be run; if it has to, it is what later ones are compared with."""
        if motion is None:
            self._passed = None
            return False
        passed, now = self._passed, cells(frame.image)
        if (
            passed is not None
            and passed.frame != self._unanswered
            and frame.captured_at < passed.captured_at + motion.at_least_every_ms / 1000
            and change(now, passed.cells) < motion.change
        ):
            return True
        self._passed = _Passed(frame.id, now, frame.captured_at)
        return False

    def _dropped(self, frame: Frame) -> None:
        """It has answered nothing; if it was the last that was let through, the next one is run in its stead."""
        passed = self._passed
        if passed is not None and passed.frame == frame.id:
            self._unanswered = frame.id

    def _start_when_room(self, journey: Journey, *, still: bool) -> None:
        """A still frame takes no room, but waits for it, too: so neither the line nor an outbox overflows with them."""
        with self._room:
            while self._under_way >= self._window() and not self._closed:
                self._room.wait(STOP_CHECK_S)
            self._under_way += not still
        if still:
            self.refuse(journey, DropReason.STILL)
            return
        self._gate.started(journey)
        self._start(journey)

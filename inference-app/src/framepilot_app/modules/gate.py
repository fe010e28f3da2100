"""The gate of one device: every frame that starts on it passes here, and those of newest streams wait here.

It keeps what the pure decision (`framepilot.scheduling.admission`) looks at: who waits, what is in flight and what it
costs, whose turn it is, and how far estimates can be trusted. It is asked whenever a frame comes or has ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from framepilot.contract.events import StreamKey
from framepilot.scheduling.admission import (
    Admit,
    Cost,
    Group,
    Hold,
    InFlight,
    Margin,
    Promise,
    Turns,
    Waiting,
    busy,
    decide,
    frames_ahead,
)
from framepilot_app.frames import Delivered, Dropped, DropReason, Frame, Outcome
from framepilot_app.modules.graph import Graph
from framepilot_app.modules.journey import Journey

MarginKey = tuple[str, int]
"""(service, priority)"""


class Entrance(Protocol):
    """Where frames come from: an inlet. Called on any thread, without the gate's lock."""

    def let_in(self, journey: Journey) -> None:
        """The frame's turn has come."""

    def refuse(self, journey: Journey, reason: DropReason) -> None:
        """The frame will not start."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    journey: Journey
    entrance: Entrance
    room: Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Started:
    group: Group
    priority: int
    work: float
    promise: Promise | None


class Gate:
    """Thread-safe. A frame waits only while another one of its service is in flight, whose end asks again."""

    def __init__(self, longest_batch_s: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_batch_s = longest_batch_s
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[StreamKey, _Waiting] = {}
        self._started: dict[Journey, _Started] = {}
        self._in_flight: dict[tuple[Group, int], InFlight] = {}
        self._turns = Turns()
        self._margins: dict[MarginKey, Margin] = {}

    def wait(self, journey: Journey, entrance: Entrance, room: Callable[[], int]) -> None:
        """A newest stream's frame: it starts when its turn comes, and takes the place of the one that waits, if any."""
        with self._lock:
            superseded = self._waiting.get(journey.frame.stream)
            self._waiting[journey.frame.stream] = _Waiting(journey, entrance, room)
            changed = self._may_start(journey.frame, room())
        if changed:
            self._look()
        if superseded is not None:
            superseded.entrance.refuse(superseded.journey, DropReason.SUPERSEDED)

    def started(self, journey: Journey) -> None:
        """A lossless stream's frame has started: it is never refused, but others have to reckon with it."""
        frame = journey.frame
        with self._lock:
            self._start(journey, frame.stream, journey.graph.cost().work, None)

    def ended(self, journey: Journey, outcome: Outcome) -> None:
        """A frame that was started has ended."""
        with self._lock:
            started = self._started.pop(journey)
            self._count(started, -1)
            if started.promise is not None:
                self._learn(journey, started.promise, outcome)
        self._look()

    def forget(self, stream: StreamKey) -> None:
        """A stream is gone."""
        with self._lock:
            self._turns.forget(stream)

    def _learn(self, journey: Journey, promise: Promise, outcome: Outcome) -> None:
        """What came of an estimate; of a frame on which a model failed nothing is to be learned."""
        late = isinstance(outcome, Dropped) and outcome.reason is DropReason.LATE
        if late or isinstance(outcome, Delivered):
            key = (journey.frame.id.service, journey.frame.priority)
            margin = self._margins.get(key, Margin())
            self._margins[key] = margin.after(promise, self._clock(), late=late)

    def _may_start(self, frame: Frame, room: int) -> bool:
        """Whether it is worth a look: not when the last look left others of its kind waiting, and the device is busy.

        Most frames come so under overload, and a look at fifty streams takes its time.
        """
        service = frame.id.service
        ahead = frames_ahead((service,), frame.priority, self._in_flight.values())
        return ahead < room and not (
            busy(ahead, room)
            and any(
                other.journey.frame.priority == frame.priority and other.journey.frame.id.service == service
                for stream, other in self._waiting.items()
                if stream != frame.stream
            )
        )

    def _look(self) -> None:
        """Let in and refuse until nothing is left to be done."""
        while True:
            with self._lock:
                now = self._clock()
                decision = decide(self._candidates(now), [*self._in_flight.values()], now, self._longest_batch_s())
                if isinstance(decision, Hold):
                    return
                if isinstance(decision, Admit):
                    admitted = self._waiting.pop(decision.stream)
                    self._admit(admitted.journey, decision.promise)
                else:
                    refused = [self._waiting.pop(stream) for stream in decision.streams]
            if isinstance(decision, Admit):
                admitted.entrance.let_in(admitted.journey)
            else:
                for each in refused:
                    each.entrance.refuse(each.journey, DropReason.OVERLOAD)

    def _admit(self, journey: Journey, promise: Promise | None) -> None:
        frame = journey.frame
        work = journey.graph.cost().work
        self._turns.charge(frame.stream, frame.priority, work)
        self._start(journey, (frame.id.service,), work, promise)

    def _start(self, journey: Journey, group: Group, work: float, promise: Promise | None) -> None:
        self._started[journey] = started = _Started(group, journey.frame.priority, work, promise)
        self._count(started, 1)

    def _count(self, started: _Started, frames: int) -> None:
        """So many frames more of a group are in flight."""
        key = (started.group, started.priority)
        before = self._in_flight.get(key, InFlight(*key, 0, 0.0))
        if before.frames + frames == 0:
            del self._in_flight[key]
        else:
            work = before.work + frames * started.work
            self._in_flight[key] = InFlight(*key, before.frames + frames, work)

    def _candidates(self, now: float) -> list[Waiting]:
        costs: dict[Graph, Cost] = {}
        margins: dict[MarginKey, float] = {}
        candidates = []
        for stream, waiting in self._waiting.items():
            frame, graph = waiting.journey.frame, waiting.journey.graph
            key = (frame.id.service, frame.priority)
            if graph not in costs:
                costs[graph] = graph.cost()
            if key not in margins:
                margins[key] = self._margins.get(key, Margin()).seconds(now)
            turn = self._turns.turn(stream, frame.priority, costs[graph].work)
            candidates.append(
                Waiting(
                    stream=stream,
                    group=(frame.id.service,),
                    priority=frame.priority,
                    turn=turn,
                    deadline=frame.deadline,
                    cost=costs[graph],
                    margin=margins[key],
                    room=waiting.room(),
                )
            )
        return candidates

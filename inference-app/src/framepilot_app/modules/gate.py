"""The gate of one device: every frame that starts on it passes here, and those of newest streams wait here.

It keeps what the pure decision (`framepilot.scheduling.admission`) looks at: who waits, what is in flight and what it
costs, whose turn it is, and how far estimates can be trusted. It is asked whenever a frame comes or has ended.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from framepilot.contract.events import StreamKey
from framepilot.scheduling.admission import (
    Admit,
    Coming,
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
from framepilot.scheduling.limits import NO_LIMITS, Allowance
from framepilot.scheduling.reserves import NOTHING_RESERVED
from framepilot_app.frames import Delivered, Dropped, DropReason, Frame, Outcome
from framepilot_app.modules.by_service import ByService
from framepilot_app.modules.graph import Graph
from framepilot_app.modules.journey import Journey

MarginKey = tuple[str, int]
"""(service, priority)"""


DUE: Final = 2.0
"""A stream is awaited for so many of its intervals after its last frame,"""
LONGEST_AWAITED_S: Final = 0.5
"""and for no longer than this: it may have ended."""
FEW: Final = 16
"""While no more frames wait, one that comes is a reason to look at all of them; a look at more takes its time."""


def at_once(task: Callable[[], None]) -> None:
    """Run it now and here."""
    task()


def later(seconds: float, task: Callable[[], None]) -> None:
    """Run it in so many seconds, on a thread of its own."""
    timer = threading.Timer(seconds, task)
    timer.daemon = True
    timer.start()


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


@dataclass(slots=True)
class _Visits:
    """How often a stream's frames come to the gate: the last at `at`, `interval` seconds after the one before.

    `skipped`: how many were superseded since one was let in. `pressing`: whether any was before that one, which took
    `work` seconds of the device's time.
    """

    group: Group
    priority: int
    at: float
    interval: float = 0.0
    skipped: int = 0
    pressing: bool = False
    work: float = 0.0

    def come(self, priority: int, now: float) -> None:
        self.priority = priority
        self.interval = now - self.at
        self.at = now

    def let_in(self, work: float) -> None:
        self.work = work
        self.pressing = self.skipped > 0
        self.skipped = 0

    def soon(self, now: float) -> bool:
        """Whether it gives more frames than are let in, and the next one is due."""
        return (self.pressing or self.skipped > 0) and now < self.at + min(DUE * self.interval, LONGEST_AWAITED_S)


@dataclass(frozen=True, slots=True)
class _Started:
    group: Group
    priority: int
    work: float
    promise: Promise | None


class Gate:
    """Thread-safe. A frame waits only while another one of its service is in flight, whose end asks again."""

    def __init__(
        self,
        longest_batch_s: Callable[[], float],
        soon: Callable[[Callable[[], None]], None] = at_once,
        clock: Callable[[], float] = time.monotonic,
        limits: Callable[[], Mapping[str, Allowance]] = lambda: NO_LIMITS,
        later: Callable[[float, Callable[[], None]], None] = later,
    ) -> None:
        """`soon` runs what it is given, on a worker, and `later` in some seconds; `limits` are those in force."""
        self._later = later
        self._look_again_at = math.inf
        self._limits = limits
        self._longest_batch_s = longest_batch_s
        self._soon = soon
        self._look_due = False
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: ByService[_Waiting] = ByService()
        self._started: dict[Journey, _Started] = {}
        # By group and priority.
        self._in_flight: dict[Group, dict[int, InFlight]] = {}
        self._turns = Turns()
        self._reserves = NOTHING_RESERVED
        self._visits: ByService[_Visits] = ByService()
        self._awaited: frozenset[StreamKey] = frozenset()
        self._margins: dict[MarginKey, Margin] = {}

    def reserve(self, reserves: Mapping[str, float]) -> None:
        """What each service reserved of the device's time, 0..1; in force from the next look on."""
        self._reserves = reserves

    def wait(self, journey: Journey, entrance: Entrance, room: Callable[[], int]) -> None:
        """A newest stream's frame: it starts when its turn comes, and takes the place of the one that waits, if any."""
        with self._lock:
            superseded = self._waiting.put(journey.frame.stream, _Waiting(journey, entrance, room))
            self._visit(journey.frame, skipped=superseded is not None)
            changed = self._may_start(journey.frame, room())
            few = len(self._waiting) <= FEW
        if changed:
            self._look(None if few else journey.frame.id.service)
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
        self._look_soon()

    def forget(self, stream: StreamKey) -> None:
        """A stream is gone."""
        with self._lock:
            self._turns.forget(stream)
            self._visits.pop(stream)

    def _learn(self, journey: Journey, promise: Promise, outcome: Outcome) -> None:
        """What came of an estimate; of a frame on which a model failed nothing is to be learned."""
        late = isinstance(outcome, Dropped) and outcome.reason is DropReason.LATE
        if late or isinstance(outcome, Delivered):
            key = (journey.frame.id.service, journey.frame.priority)
            margin = self._margins.get(key, Margin())
            self._margins[key] = margin.after(promise, self._clock(), late=late)

    def _visit(self, frame: Frame, *, skipped: bool) -> None:
        now = self._clock()
        visits = self._visits.get(frame.stream)
        if visits is None:
            self._visits.put(frame.stream, _Visits((frame.id.service,), frame.priority, now))
        else:
            visits.come(frame.priority, now)
            visits.skipped += skipped

    def _may_start(self, frame: Frame, room: int) -> bool:
        """Whether it is worth a look: not when the last look left others of its kind waiting, and not for this stream,
        and the device is busy.

        Most frames come so under overload, and a look at fifty streams takes its time.
        """
        service = frame.id.service
        ahead = frames_ahead((service,), frame.priority, self._in_flight.get((service,), {}).values())
        return ahead < room and not (
            busy(ahead, room)
            and frame.stream not in self._awaited
            and any(
                other.journey.frame.priority == frame.priority
                for stream, other in self._waiting.items(service)
                if stream != frame.stream
            )
        )

    def _look_soon(self) -> None:
        """Frames end by batches: one look is enough for all of them."""
        with self._lock:
            due, self._look_due = self._look_due, True
        if not due:
            self._soon(self._look_now)

    def _look_now(self) -> None:
        with self._lock:
            self._look_due = False
        self._look()

    def _look_again(self, at: float, now: float) -> None:
        """By then at the latest, though no frame may come or end."""
        if at < self._look_again_at:
            self._look_again_at = at
            self._later(at - now, self._look_at_last)

    def _look_at_last(self) -> None:
        with self._lock:
            self._look_again_at = math.inf
        self._look()

    def _look(self, service: str | None = None) -> None:
        """Let in and refuse until nothing is left to be done; frames of one service, or of all (None)."""
        admitted: list[_Waiting] = []
        refused: list[_Waiting] = []
        with self._lock:
            now, longest_s, reserves, limits = self._clock(), self._longest_batch_s(), self._reserves, self._limits()
            candidates = self._candidates(now, service)
            coming = self._coming(now, dict.fromkeys(stream[0] for stream in candidates))
            awaited: tuple[StreamKey, ...] = ()
            while candidates:
                waiting = [each for _, each in candidates.values()]
                decision = decide(waiting, self._all_in_flight(), now, longest_s, coming, reserves, limits)
                if isinstance(decision, Hold):
                    awaited = decision.awaited
                    self._look_again(decision.until, now)
                    break
                if isinstance(decision, Admit):
                    each, _ = candidates.pop(decision.stream)
                    admitted.append(each)
                    self._waiting.pop(decision.stream)
                    self._admit(each.journey, decision.promise)
                else:
                    for stream in decision.streams:
                        each, _ = candidates.pop(stream)
                        refused.append(each)
                        self._waiting.pop(stream)
            elsewhere = {stream for stream in self._awaited if service not in {None, stream[0]}}
            self._awaited = frozenset(elsewhere.union(awaited))
        for each in admitted:
            each.entrance.let_in(each.journey)
        for each in refused:
            each.entrance.refuse(each.journey, DropReason.OVERLOAD)

    def _admit(self, journey: Journey, promise: Promise | None) -> None:
        frame = journey.frame
        work = journey.graph.cost().work
        self._turns.charge(frame.stream, frame.priority, work)
        if (visits := self._visits.get(frame.stream)) is not None:
            visits.let_in(work)
        self._start(journey, (frame.id.service,), work, promise)

    def _start(self, journey: Journey, group: Group, work: float, promise: Promise | None) -> None:
        self._started[journey] = started = _Started(group, journey.frame.priority, work, promise)
        self._count(started, 1)

    def _count(self, started: _Started, frames: int) -> None:
        """So many frames more of a group are in flight."""
        own = self._in_flight.setdefault(started.group, {})
        before = own.get(started.priority, InFlight(started.group, started.priority, 0, 0.0))
        if before.frames + frames == 0:
            del own[started.priority]
        else:
            work = before.work + frames * started.work
            own[started.priority] = InFlight(started.group, started.priority, before.frames + frames, work)
        if not own:
            del self._in_flight[started.group]

    def _all_in_flight(self) -> list[InFlight]:
        return [each for group in self._in_flight.values() for each in group.values()]

    def _coming(self, now: float, services: Iterable[str]) -> list[Coming]:
        """Of these services, as nobody waits for another one's."""
        return [
            Coming(stream, visits.group, visits.priority, self._turns.turn(stream, visits.priority, visits.work))
            for service in services
            for stream, visits in self._visits.items(service)
            if visits.soon(now) and stream not in self._waiting
        ]

    def _candidates(self, now: float, service: str | None) -> dict[StreamKey, tuple[_Waiting, Waiting]]:
        costs: dict[Graph, Cost] = {}
        margins: dict[MarginKey, float] = {}
        rooms: dict[Callable[[], int], int] = {}
        candidates = {}
        for stream, waiting in self._waiting.items(service):
            frame, graph = waiting.journey.frame, waiting.journey.graph
            key = (frame.id.service, frame.priority)
            if graph not in costs:
                costs[graph] = graph.cost()
            if key not in margins:
                margins[key] = self._margins.get(key, Margin()).seconds(now)
            if waiting.room not in rooms:
                rooms[waiting.room] = waiting.room()
            candidates[stream] = (
                waiting,
                Waiting(
                    stream=stream,
                    group=(frame.id.service,),
                    priority=frame.priority,
                    turn=self._turns.turn(stream, frame.priority, costs[graph].work),
                    deadline=frame.deadline,
                    cost=costs[graph],
                    margin=margins[key],
                    room=rooms[waiting.room],
                ),
            )
        return candidates

"""The gate of one device: every frame that starts on it passes here, and those of newest streams wait here.

It keeps what the pure decision (`framepilot.scheduling.admission`) looks at: who waits, what is in flight and what it
costs, whose turn it is, and how far estimates can be trusted. It is asked whenever a frame comes or has ended.

Nobody waits at the gate for another thread: what has happened is put into a box, and whoever finds nobody at work
there works off all of it (flat combining, Hendler et al., SPAA '10). Frames come by cameras and end by batches, those
of a hundred services at the same moment: a worker looks soon, once for all of them. With a hundred services, threads
that wait for each other cost more than what there is to be decided.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from framepilot.contract.events import StreamKey
from framepilot.scheduling.admission import (
    Admitted,
    Coming,
    Cost,
    Margin,
    Promise,
    Turns,
    Waiting,
    busy,
    decide,
)
from framepilot.scheduling.limits import NO_LIMITS, Allowance
from framepilot.scheduling.load import Group, Load
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
        self._limits = limits
        self._longest_batch_s = longest_batch_s
        self._soon = soon
        self._clock = clock
        self._reserves = NOTHING_RESERVED
        self._look_due = False
        self._inbox: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        # All below is of whoever has the lock.
        self._look_asked = False
        self._look_again_at = math.inf
        self._waiting: ByService[_Waiting] = ByService()
        self._started: dict[Journey, _Started] = {}
        self._load = Load()
        self._turns = Turns()
        self._visits: ByService[_Visits] = ByService()
        self._awaited: frozenset[StreamKey] = frozenset()
        self._margins: dict[MarginKey, Margin] = {}
        self._to_look_at: set[str] | None = set()
        """The services of which a frame may be able to start now; None: all."""
        self._consequences: list[Callable[[], None]] = []
        """What the entrances are to be told, without the lock."""

    def reserve(self, reserves: Mapping[str, float]) -> None:
        """What each service reserved of the device's time, 0..1; in force from the next look on."""
        self._reserves = {service: share for service, share in reserves.items() if share > 0}

    def wait(self, journey: Journey, entrance: Entrance, room: Callable[[], int]) -> None:
        """A newest stream's frame: it starts when its turn comes, and takes the place of the one that waits, if any."""
        self._post(functools.partial(self._came, _Waiting(journey, entrance, room), self._clock()))

    def started(self, journey: Journey) -> None:
        """A lossless stream's frame has started: it is never refused, but others have to reckon with it."""
        self._inbox.append(functools.partial(self._began, journey))

    def ended(self, journey: Journey, outcome: Outcome) -> None:
        """A frame that was started has ended."""
        self._inbox.append(functools.partial(self._over, journey, outcome, self._clock()))
        self._look_soon()

    def forget(self, stream: StreamKey) -> None:
        """A stream is gone."""
        self._post(functools.partial(self._gone, stream))

    def _look_soon(self) -> None:
        if not self._look_due:
            self._look_due = True
            self._soon(self._look_now)

    def _look_now(self) -> None:
        self._look_due = False
        self._post(self._ask)

    def _post(self, task: Callable[[], None]) -> None:
        self._inbox.append(task)
        # Whoever has the lock looks into the box again after it has let go of it.
        while self._inbox and self._lock.acquire(blocking=False):
            try:
                consequences = self._work_off()
            finally:
                self._lock.release()
            for consequence in consequences:
                consequence()

    def _work_off(self) -> list[Callable[[], None]]:
        """What is in the box by now; what comes meanwhile must not keep waiting those who are let in."""
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()
        if self._to_look_at is None or self._to_look_at:
            if self._look_asked:
                services, self._to_look_at = self._to_look_at, set()
                self._look(services)
            else:
                self._look_soon()
        self._look_asked = False
        consequences, self._consequences = self._consequences, []
        return consequences

    def _came(self, waiting: _Waiting, now: float) -> None:
        frame = waiting.journey.frame
        superseded = self._waiting.put(frame.stream, waiting)
        self._visit(frame, now, skipped=superseded is not None)
        if superseded is not None:
            self._refuse(superseded, DropReason.SUPERSEDED)
        if self._to_look_at is not None and self._may_start(frame, waiting.room()):
            if len(self._waiting) <= FEW:
                self._look_at_all()
            else:
                self._to_look_at.add(frame.id.service)

    def _began(self, journey: Journey) -> None:
        frame, work = journey.frame, journey.graph.cost().work
        self._started[journey] = _Started(frame.stream, frame.priority, work, None)
        self._load.start(frame.stream, frame.priority, work)

    def _over(self, journey: Journey, outcome: Outcome, now: float) -> None:
        started = self._started.pop(journey)
        self._load.end(started.group, started.priority, started.work)
        self._look_at_all()
        if started.promise is not None:
            self._learn(journey, started.promise, outcome, now)

    def _gone(self, stream: StreamKey) -> None:
        self._turns.forget(stream)
        self._visits.discard(stream)

    def _ask(self) -> None:
        self._look_asked = True

    def _look_at_all(self) -> None:
        self._to_look_at = None

    def _learn(self, journey: Journey, promise: Promise, outcome: Outcome, now: float) -> None:
        """What came of an estimate; of a frame on which a model failed nothing is to be learned."""
        late = isinstance(outcome, Dropped) and outcome.reason is DropReason.LATE
        if late or isinstance(outcome, Delivered):
            key = (journey.frame.id.service, journey.frame.priority)
            margin = self._margins.get(key, Margin())
            self._margins[key] = margin.after(promise, now, late=late)

    def _visit(self, frame: Frame, now: float, *, skipped: bool) -> None:
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
        ahead = self._load.frames((service,), frame.priority)
        return ahead < room and not (
            busy(ahead, room)
            and frame.stream not in self._awaited
            and any(
                other.journey.frame.priority == frame.priority
                for stream, other in self._waiting.items(service)
                if stream != frame.stream
            )
        )

    def _look_again(self, at: float, now: float) -> None:
        """By then at the latest, though no frame may come or end."""
        if at < self._look_again_at:
            self._look_again_at = at
            self._later(at - now, functools.partial(self._post, self._look_at_last))

    def _look_at_last(self) -> None:
        self._look_again_at = math.inf
        self._look_at_all()

    def _look(self, services: Iterable[str] | None) -> None:
        """Let in and refuse what can be, of these services or of all (None)."""
        now = self._clock()
        candidates = self._candidates(now, services)
        decision = decide(
            candidates,
            self._load,
            now,
            self._longest_batch_s(),
            self._coming(now, dict.fromkeys(each.stream[0] for each in candidates)),
            self._reserves,
            self._limits(),
        )
        for admitted in decision.admitted:
            self._admit(admitted)
        for stream in decision.refused:
            self._refuse(self._waiting.take(stream), DropReason.OVERLOAD)
        if decision.until < math.inf:
            self._look_again(decision.until, now)
        elsewhere = set() if services is None else {each for each in self._awaited if each[0] not in services}
        self._awaited = frozenset(elsewhere.union(decision.awaited))

    def _admit(self, admitted: Admitted) -> None:
        """The load has it already."""
        waiting = self._waiting.take(admitted.stream)
        journey = waiting.journey
        frame = journey.frame
        self._turns.charge(frame.stream, frame.priority, admitted.work)
        if (visits := self._visits.get(frame.stream)) is not None:
            visits.let_in(admitted.work)
        group = (frame.id.service,)
        self._started[journey] = _Started(group, frame.priority, admitted.work, admitted.promise)
        self._consequences.append(functools.partial(waiting.entrance.let_in, journey))

    def _refuse(self, waiting: _Waiting, reason: DropReason) -> None:
        self._consequences.append(functools.partial(waiting.entrance.refuse, waiting.journey, reason))

    def _coming(self, now: float, services: Iterable[str]) -> list[Coming]:
        """Of these services, as nobody waits for another one's."""
        return [
            Coming(stream, visits.group, visits.priority, self._turns.turn(stream, visits.priority, visits.work))
            for service in services
            for stream, visits in self._visits.items(service)
            if visits.soon(now) and stream not in self._waiting
        ]

    def _candidates(self, now: float, services: Iterable[str] | None) -> list[Waiting]:
        costs: dict[Graph, Cost] = {}
        margins: dict[MarginKey, float] = {}
        rooms: dict[Callable[[], int], int] = {}
        candidates = []
        for service in (None,) if services is None else services:
            for stream, waiting in self._waiting.items(service):
                frame, graph = waiting.journey.frame, waiting.journey.graph
                key = (frame.id.service, frame.priority)
                if graph not in costs:
                    costs[graph] = graph.cost()
                if key not in margins:
                    margins[key] = self._margins.get(key, Margin()).seconds(now)
                if waiting.room not in rooms:
                    rooms[waiting.room] = waiting.room()
                candidates.append(
                    Waiting(
                        stream=stream,
                        group=(frame.id.service,),
                        priority=frame.priority,
                        turn=self._turns.turn(stream, frame.priority, costs[graph].work),
                        deadline=frame.deadline,
                        cost=costs[graph],
                        margin=margins[key],
                        room=rooms[waiting.room],
                    )
                )
        return candidates

"""The decision at the gate: which waiting frame may start now. No clock, no torch, no thread.

A frame is let in when the work in flight ahead of it leaves it time to make its deadline, and not before the device has
use for it: what waits at the gate can still be exchanged for a newer frame, and costs nothing but its picture. So under
more load than capacity nothing is prepared and run only to be dropped late. Who goes first: the higher priority, then
the stream whose turn it is (`Turns`); one that is not there at this moment, but soon will be, is waited for while the
device has enough to do. How far estimates can be trusted is learned from what came of them (`Margin`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from framepilot.contract.events import StreamKey
from framepilot.scheduling.limits import NO_LIMITS, Allowance
from framepilot.scheduling.reserves import NOTHING_RESERVED, shares_of

Group = tuple[str, ...]
"""Whose frames are served first come, first served: the newest streams of a service, or one lossless stream. The first
part is the service's name."""

START_S: Final = 0.02
HALF_LIFE_S: Final = 10.0
"""A margin has lost half of its length after so long, whether frames end meanwhile or not."""

MOST_SHARE: Final = 0.5
"""The most of a frame's time that a margin may take: on a machine that stalls, waiting at the gate would not help."""

CLAIM_FRAMES: Final = 8
"""How many frames a stream that was not there when it had its turn may have sooner for that."""

OVERTAKE_BELOW: Final = 1 / 3
"""With fewer frames in flight than this share of the room the device could run dry."""

RISKY: Final = 0.5
"""An overrun counts when the frame took more than this share of its time: far from the deadline it harms nobody."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a frame takes, in seconds: `work` of the device's time in all, `alone` from its start to its end when
    nothing is ahead of it.
    """

    work: float
    alone: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """The newest frame of a stream, at the gate. `deadline` is in monotonic seconds.

    `turn` is its stream's (`Turns.turn`), `margin` the seconds by which its cost may be overrun, `room` how many frames
    of its group may be in flight: enough to keep the device busy.
    """

    stream: StreamKey
    group: Group
    priority: int
    turn: float
    deadline: float
    cost: Cost
    margin: float
    room: int


@dataclass(frozen=True, slots=True)
class Coming:
    """A stream without a frame at the gate that will soon have one, and more of them than are let in.

    Of the same group and priority as those that wait in its stead; `turn` as in `Waiting`.
    """

    stream: StreamKey
    group: Group
    priority: int
    turn: float


@dataclass(frozen=True, slots=True)
class InFlight:
    """Frames that were let in and have not ended, of one group and priority; `work` is in device seconds.

    Groups take turns on the device: services by their shares of it, those of one service evenly; within a group it is
    first come, first served.
    """

    group: Group
    priority: int
    frames: int
    work: float


@dataclass(frozen=True, slots=True)
class Promise:
    """What was expected of a frame when it was let in: `expected` seconds until its end, without the margin."""

    admitted_at: float
    expected: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Admit:
    """The stream's frame starts now; without a promise if it may well be late, but nothing speaks for waiting."""

    stream: StreamKey
    promise: Promise | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """The frames of these streams could not make their deadlines any more, even with nothing ahead of them."""

    streams: tuple[StreamKey, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Nobody may start until a frame in flight has ended or another one has come, or, if it is sooner, until a time.

    `awaited`: whose turn it is. `until`: monotonic seconds, when a service that is ahead of its limit may go on.
    """

    awaited: tuple[StreamKey, ...] = ()
    until: float = math.inf


Decision = Admit | Refuse | Hold


def decide(
    waiting: Sequence[Waiting],
    in_flight: Sequence[InFlight],
    now: float,
    longest_batch: float,
    coming: Sequence[Coming] = (),
    reserves: Mapping[str, float] = NOTHING_RESERVED,
    limits: Mapping[str, Allowance] = NO_LIMITS,
) -> Decision:
    """What to do now; ask again after `Admit` and `Refuse`.

    Args:
        waiting: at most one frame of each stream.
        in_flight: all that has started and not ended, with at least one frame each.
        now: monotonic seconds.
        longest_batch: seconds for which a batch of less urgent work can hold the device.
        coming: streams that will soon have a frame.
        reserves: what services reserved of the device's time, 0..1.
        limits: of services that have one.
    """
    own: dict[Group, list[InFlight]] = {each.group: [] for each in waiting}
    for each in in_flight:
        if each.group in own:
            own[each.group].append(each)
    services = {each.group[0] for each in waiting}.union(each.group[0] for each in in_flight)
    shares = shares_of(services, reserves)
    frames: dict[tuple[Group, int], int] = {}
    hopeless: list[StreamKey] = []
    kept_free: set[tuple[Group, int]] = set()
    awaited: list[StreamKey] = []
    until = math.inf
    for frame in sorted(waiting, key=lambda each: (-each.priority, each.turn)):
        key = frame.group, frame.priority
        limit = limits.get(frame.group[0])
        if limit is not None and limit.free_at > now:
            # The later it starts the newer it is, and it could not run any sooner.
            until = min(until, limit.free_at)
            continue
        if key not in frames:
            frames[key] = frames_ahead(frame.group, frame.priority, own[frame.group])
        if frames[key] and now + frame.cost.alone > frame.deadline:
            hopeless.append(frame.stream)
            continue
        if key in kept_free or frames[key] >= frame.room:
            continue
        if busy(frames[key], frame.room) and (before := _before(frame, coming)):
            kept_free.add(key)
            awaited += before
            continue
        ahead = _ahead(frame, own[frame.group], in_flight, longest_batch, shares)
        if limit is not None:
            ahead = max(ahead, _own(frame, in_flight) / limit.limit)
        expected = ahead + frame.cost.alone
        time = frame.deadline - now
        # With little ahead of it, waiting would not make it safer.
        margin = min(frame.margin, MOST_SHARE * time) if busy(frames[key], frame.room) else 0.0
        if expected + margin <= time:
            return Admit(frame.stream, Promise(now, expected, frame.deadline))
        if not frames[key]:
            # Nothing of its group will end and ask again, so it is not held; and no estimate, however wrong, can keep
            # a group out for good.
            return Admit(frame.stream, None)
        if busy(frames[key], frame.room):
            # Its stream's next frame will be younger, and may fit: if others took the place, then those whose frames
            # come just when one becomes free would get more than their share.
            kept_free.add(key)
    return Refuse(tuple(hopeless)) if hopeless else Hold(tuple(awaited), until)


def _before(frame: Waiting, coming: Iterable[Coming]) -> list[StreamKey]:
    """Those that would be more than a frame behind if this one went first.

    Otherwise whoever's frames happen to come just when there is room would get more than its share: cameras in step
    keep their order for hours.
    """
    kind = frame.group, frame.priority
    return [
        each.stream
        for each in coming
        if (each.group, each.priority) == kind and frame.turn - each.turn > frame.cost.work
    ]


def frames_ahead(group: Group, priority: int, in_flight: Iterable[InFlight]) -> int:
    """How many frames of a group are in flight that one of this priority does not overtake."""
    return sum(each.frames for each in in_flight if each.group == group and each.priority >= priority)


def busy(frames: int, room: int) -> bool:
    """Whether so many frames in flight keep the device busy for a while; otherwise turns count no more."""
    return frames >= OVERTAKE_BELOW * room


def _ahead(
    frame: Waiting,
    of_group: Iterable[InFlight],
    in_flight: Iterable[InFlight],
    longest_batch: float,
    shares: Mapping[str, float],
) -> float:
    """Device seconds until a frame that is let in now has its turn; `of_group` is what is in flight of its group.

    Its own group's work goes before it, and that of higher priorities. Another group of its service and priority takes
    turns with its own, so it gets no more meanwhile than the own one; another service gets as much more or less as its
    share of the device is than that of the own one. Of lower priorities only a batch that runs already counts.
    """
    own = sum(each.work for each in of_group if each.priority == frame.priority)
    within = higher = lower = 0.0
    service, priority, group = frame.group[0], frame.priority, frame.group
    beside: dict[str, float] = {}
    # Of a hundred services, this is most of what it takes to let a frame in.
    for each in in_flight:
        if each.priority == priority:
            other = each.group[0]
            if other != service:
                beside[other] = beside.get(other, 0.0) + each.work
            elif each.group != group:
                within += min(each.work, own + frame.cost.work)
        elif each.priority > priority:
            higher += each.work
        else:
            lower += each.work
    turns = (own + within + frame.cost.work) / shares[service]
    others = sum(min(work, turns * shares[other]) for other, work in beside.items())
    return own + within + higher + others + min(lower, longest_batch)


def _own(frame: Waiting, in_flight: Iterable[InFlight]) -> float:
    """Device seconds of its service's work that goes before a frame that is let in now."""
    service = frame.group[0]
    return sum(each.work for each in in_flight if each.group[0] == service and each.priority >= frame.priority)


@dataclass(frozen=True, slots=True)
class Margin:
    """The seconds that are added to what is expected, so that hardly a frame takes longer: the longest overrun of late.

    It rises at an overrun and falls with time. Frames that were let in before it rose do not raise it again: one stall
    is one overrun, however many frames it caught (as TCP halves its window once a round trip). What a batch takes is
    measured anyhow; what is left is what threads wait for each other and for the machine, which adds to it.
    """

    raised_to: float = START_S
    raised_at: float = -math.inf

    def seconds(self, now: float) -> float:
        """The margin at a time, monotonic seconds."""
        if math.isinf(self.raised_at):
            return self.raised_to
        return self.raised_to * 2 ** (-max(now - self.raised_at, 0) / HALF_LIFE_S)

    def after(self, promise: Promise, now: float, *, late: bool) -> Margin:
        """The margin after a frame has ended now; `late`: it was dropped for its deadline."""
        time = promise.deadline - promise.admitted_at
        took = now - promise.admitted_at
        overrun = time if late else took - promise.expected
        risky = late or took > RISKY * time
        if not risky or overrun <= self.seconds(now) or promise.admitted_at <= self.raised_at:
            return self
        return Margin(min(overrun, MOST_SHARE * time), now)


class Turns:
    """Whose turn it is: the stream that was given the least work goes first, by priority class, within its service.

    Between services nothing is decided here: how far each may fill the device is a matter of its room, of what a frame
    has to expect, and of the shares by which batches are chosen. They advance at different speeds.

    Start-time fair queueing (Goyal et al., SIGCOMM '96): a stream that asks for less than its share waits for nobody,
    and cannot claim later what it left unused; but for a few frames, because only the newest frame of a stream waits,
    and for a moment after it was taken none does.
    """

    def __init__(self) -> None:
        self._virtual: dict[tuple[int, str], float] = {}
        self._finish: dict[tuple[int, StreamKey], float] = {}

    def turn(self, stream: StreamKey, priority: int, work: float) -> float:
        """What orders the streams of a priority, for a frame of so much work: the least goes first."""
        earliest = self._virtual.get((priority, stream[0]), 0.0) - CLAIM_FRAMES * work
        return max(earliest, self._finish.get((priority, stream), 0.0))

    def charge(self, stream: StreamKey, priority: int, work: float) -> None:
        """A frame of this stream, of so much work, was let in."""
        start = self.turn(stream, priority, work)
        kind = priority, stream[0]
        self._virtual[kind] = max(start, self._virtual.get(kind, 0.0))
        self._finish[priority, stream] = start + work

    def forget(self, stream: StreamKey) -> None:
        """The stream is gone."""
        self._finish = {key: finish for key, finish in self._finish.items() if key[1] != stream}

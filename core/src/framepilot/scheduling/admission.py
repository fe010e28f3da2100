"""The decision at the gate: which waiting frames may start now. No clock, no torch, no thread.

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
from framepilot.scheduling.load import Group, Load
from framepilot.scheduling.reserves import NOTHING_RESERVED, shares_of

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
class Promise:
    """What was expected of a frame when it was let in: `expected` seconds until its end, without the margin."""

    admitted_at: float
    expected: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Admitted:
    """The stream's frame starts now; without a promise if it may well be late, but nothing speaks for waiting."""

    stream: StreamKey
    work: float
    promise: Promise | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Who starts now, in this order, and who will not. Nobody else may until a frame in flight has ended or another one
    has come, or, if it is sooner, until a time.

    `refused`: could not make their deadlines any more, even with nothing ahead of them. `awaited`: whose turn it is.
    `until`: monotonic seconds, when a service that is ahead of its limit may go on.
    """

    admitted: tuple[Admitted, ...] = ()
    refused: tuple[StreamKey, ...] = ()
    awaited: tuple[StreamKey, ...] = ()
    until: float = math.inf


def decide(
    waiting: Sequence[Waiting],
    load: Load,
    now: float,
    longest_batch: float,
    coming: Sequence[Coming] = (),
    reserves: Mapping[str, float] = NOTHING_RESERVED,
    limits: Mapping[str, Allowance] = NO_LIMITS,
) -> Decision:
    """What to do now. Asked again at once, of those that are left, it lets nobody in.

    Args:
        waiting: at most one frame of each stream.
        load: all that has started and not ended; who is let in is added to it.
        now: monotonic seconds.
        longest_batch: seconds for which a batch of less urgent work can hold the device.
        coming: streams that will soon have a frame.
        reserves: what services reserved of the device's time, 0..1.
        limits: of services that have one.
    """
    shares = shares_of(load.services.union(each.group[0] for each in waiting), reserves) if reserves else None
    admitted: list[Admitted] = []
    refused: list[StreamKey] = []
    kept_free: set[tuple[Group, int]] = set()
    awaited: list[StreamKey] = []
    until = math.inf
    for frame in sorted(waiting, key=lambda each: (-each.priority, each.turn)):
        limit = limits.get(frame.group[0])
        if limit is not None and limit.free_at > now:
            # The later it starts the newer it is, and it could not run any sooner.
            until = min(until, limit.free_at)
            continue
        frames = load.frames(frame.group, frame.priority)
        if frames and now + frame.cost.alone > frame.deadline:
            refused.append(frame.stream)
            continue
        enough = busy(frames, frame.room)
        key = frame.group, frame.priority
        if frames >= frame.room or (enough and key in kept_free):
            continue
        if enough and (before := _before(frame, coming)):
            kept_free.add(key)
            awaited += before
            continue
        ahead = load.ahead(frame.group, frame.priority, frame.cost.work, longest_batch, shares)
        if limit is not None:
            ahead = max(ahead, load.work(frame.group[0], frame.priority) / limit.limit)
        expected = ahead + frame.cost.alone
        time = frame.deadline - now
        # With little ahead of it, waiting would not make it safer.
        margin = min(frame.margin, MOST_SHARE * time) if enough else 0.0
        fits = expected + margin <= time
        if fits or not frames:
            # With nothing of its group in flight nothing will end and ask again, so it is not held; and no estimate,
            # however wrong, can keep a group out for good.
            promise = Promise(now, expected, frame.deadline) if fits else None
            admitted.append(Admitted(frame.stream, frame.cost.work, promise))
            load.start(frame.group, frame.priority, frame.cost.work)
        else:
            # Its stream's next frame will be younger, and may fit: if others took the place, then those whose frames
            # come just when one becomes free would get more than their share. But nobody is kept out while the device
            # could run dry.
            kept_free.add(key)
    return Decision(tuple(admitted), tuple(refused), tuple(awaited), until)


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


def busy(frames: int, room: int) -> bool:
    """Whether so many frames in flight keep the device busy for a while; otherwise turns count no more."""
    return frames >= OVERTAKE_BELOW * room


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

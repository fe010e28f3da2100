"""Which instance of a module takes which requests: whole batches, loads as planned, nobody late where that can be.

After Harpagon (INFOCOM 2025), whole batches go to one instance, so an instance collects from all that is left for it
and for those ranked after it. How to do that is ours, since handing out batches strictly by rank starves low ranks
while a higher one collects. Here a request is bound late: all wait in one queue, in order, until an instance takes its
batch. Each instance has a moment at which its next batch is *due*, one batch after the other at its planned load; to be
full by then it has to collect from `due - batch / rate` on. Whoever had to begin collecting first goes first (least
slack), and what those before it still need stays reserved, so that a small batch does not starve a large one. When
somebody has waited for long, an instance that is idle before its batch is due takes what nobody before it needs: so a
backlog finds all the capacity there is, and the last instance of a plan, which is not saturated, may run more than its
load.

Dummies are not sent on a schedule: when the batcher says that a batch must start before it is full, its empty places
are the dummies. A batch so filled holds at least as many real requests as one with dummies mixed in at a fixed rate.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from framepilot.scheduling.batcher import BatchPolicy, Decision, Run, Waiting, WaitUntil
from framepilot.scheduling.batcher import decide as decide_batch
from framepilot.scheduling.latency import LatencyModel

CALM: Final = 0.5
"""While nobody has waited for this share of what the slowest instance leaves for waiting, loads are as planned."""
NEVER: Final = 2**63
"""More requests than ever wait: no number of them changes anything until an instance is free."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An instance as it is dispatched to: its batch, the seconds that one takes, its planned load in requests/s."""

    batch: int
    duration_s: float
    load: float

    @property
    def period_s(self) -> float:
        """From one of its batches to the next, at its load."""
        return self.batch / self.load


@dataclass(frozen=True, slots=True)
class Send:
    """Send the first `size` requests of the queue to the instance `slot`; `dummies` fill up its batch."""

    slot: int
    size: int
    dummies: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again at `until`, as soon as `waiting` requests wait, or when a batch has ended, whatever is first."""

    until: float
    waiting: int


@dataclass(order=True, slots=True)
class _Turn:
    """An instance's next batch, ordered by when it has to begin collecting."""

    collect_at: float
    index: int
    due: float = field(compare=False)
    free_at: float = field(compare=False)
    busy: bool = field(compare=False)


class Dispatcher:
    """Decides for one module. It knows no clock: whoever asks says what time it is, in monotonic seconds."""

    def __init__(self, slots: Sequence[Slot], budget_s: float, start: float) -> None:
        """`budget_s` is how long a request may take at this module; `slots` are in rank order, at least one."""
        self._slots = tuple(slots)
        self._rate = sum(slot.load for slot in slots)
        self._budget_s = budget_s
        self._models = tuple(LatencyModel(((slot.batch, slot.duration_s),)) for slot in slots)
        self._policies = tuple(
            BatchPolicy(range(1, slot.batch + 1), max(budget_s - slot.duration_s, 0.0)) for slot in slots
        )
        self._calm_s = CALM * max(budget_s - max(slot.duration_s for slot in slots), 0.0)
        self._turns: list[_Turn] = []
        self._by_slot: dict[int, _Turn] = {}
        self._idle: set[int] = set()
        for index in range(len(slots)):
            self._enter(index, start, start, busy=False)

    def decide(self, arrivals: Sequence[float], now: float) -> Send | Wait:
        """What to do with the requests that wait, given by their times of arrival, oldest first.

        A `Send` counts as done: its requests must leave the queue, and `finished` must be told of the end of the batch.
        After that, ask again.
        """
        waiting = len(arrivals)
        reserved, enough, until = 0.0, math.inf, math.inf
        first = True
        for turn in self._candidates(now):
            batch = self._slots[turn.index].batch
            if turn.busy:
                reserved += max(batch - max(turn.free_at - now, 0.0) * self._rate, 0.0)
                continue
            if turn.due > now and arrivals and now < arrivals[0] + self._calm_s:
                until = min(until, turn.due, arrivals[0] + self._calm_s)
                continue
            if waiting >= reserved + batch:
                return self._send(turn, batch, now)
            enough = min(enough, reserved + batch)
            if first and not waiting:
                # The first request starts a wait.
                return Wait(math.inf, 1)
            if first:
                decision = self._batcher(turn.index, arrivals, now)
                if isinstance(decision, Run):
                    return self._send(turn, decision.size, now)
                if isinstance(decision, WaitUntil):
                    until = min(until, decision.time)
            first = False
            reserved += batch
        return Wait(until, NEVER if enough == math.inf else max(math.ceil(enough), waiting + 1))

    def finished(self, slot: int, now: float) -> None:
        """The batch of an instance has ended, it is free."""
        turn = self._by_slot[slot]
        self._leave(turn)
        self._enter(slot, turn.due, now, busy=False)

    def _candidates(self, now: float) -> Iterator[_Turn]:
        """Those that have to collect by now, then those that are idle before their turn."""
        end = bisect_right(self._turns, now, key=lambda turn: turn.collect_at)
        yield from self._turns[:end]
        yield from sorted(turn for turn in map(self._by_slot.__getitem__, self._idle) if turn.collect_at > now)

    def _batcher(self, index: int, arrivals: Sequence[float], now: float) -> Decision:
        """What the batcher says to the first instance's batch, as far as it has been collected."""
        some = arrivals[: self._slots[index].batch]
        waiting = Waiting(some, [each + self._budget_s for each in some], [False] * len(some))
        return decide_batch(waiting, now, self._models[index], self._policies[index])

    def _send(self, turn: _Turn, size: int, now: float) -> Send:
        self._leave(turn)
        slot = self._slots[turn.index]
        # What an instance missed it may make up for with one batch, not with more at once.
        self._enter(turn.index, max(turn.due + slot.period_s, now), now + slot.duration_s, busy=True)
        return Send(turn.index, size, slot.batch - size)

    def _enter(self, index: int, due: float, free_at: float, *, busy: bool) -> None:
        collect_at = max(due, free_at) - self._slots[index].batch / self._rate
        turn = self._by_slot[index] = _Turn(collect_at, index, due, free_at, busy)
        insort(self._turns, turn)
        if not busy:
            self._idle.add(index)

    def _leave(self, turn: _Turn) -> None:
        del self._turns[bisect_left(self._turns, turn)]
        self._idle.discard(turn.index)

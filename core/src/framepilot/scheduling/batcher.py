"""The decision of every batch: run now, wait, or drop. No clock, no torch, no thread.

Run when the batch is full, when its oldest item has waited `max_wait`, or when waiting for one more item could miss a
deadline. A frame whose stream enforces deadlines is dropped as soon as it cannot make its own any more, before it costs
device time. A batch is never so large that its oldest item misses a deadline which a smaller one would make (after
Symphony, arXiv 2308.07470, which delays a batch until one more item would miss the deadline; `max_wait` is ours).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from framepilot.scheduling.latency import LatencyModel


@dataclass(frozen=True, slots=True)
class Waiting:
    """A module's queue in the order in which items would be taken. Times are monotonic seconds.

    `deadlines` say when an item's batch has to be finished; `enforced` whether missing it drops the item.
    """

    arrivals: Sequence[float]
    deadlines: Sequence[float]
    enforced: Sequence[bool]


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """What may be run: batch sizes, ascending, the last is the cap; and the longest wait for a full batch, seconds."""

    sizes: Sequence[int]
    max_wait: float


@dataclass(frozen=True, slots=True)
class Run:
    """Run the first `size` items now."""

    size: int


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Look again at `time`, or when an item arrives; infinite for an empty queue."""

    time: float


@dataclass(frozen=True, slots=True)
class Drop:
    """These items (positions in the queue) cannot make their deadlines even alone and at once."""

    items: tuple[int, ...]


Decision = Run | WaitUntil | Drop


def decide(queue: Waiting, now: float, latency: LatencyModel, policy: BatchPolicy) -> Decision:
    """What to do with a module's queue at time `now`."""
    if not queue.arrivals:
        return WaitUntil(math.inf)
    alone = now + latency.seconds(1)
    hopeless = tuple(
        position
        for position, (deadline, enforced) in enumerate(zip(queue.deadlines, queue.enforced, strict=True))
        if enforced and alone > deadline
    )
    if hopeless:
        return Drop(hopeless)
    waiting = len(queue.arrivals)
    size = _largest_in_time(queue, now, latency, policy, waiting)
    if waiting >= policy.sizes[-1]:
        return Run(size)
    run_at = min(min(queue.arrivals) + policy.max_wait, _latest_start(queue, alone, latency, policy))
    return Run(size) if now >= run_at else WaitUntil(run_at)


def holds_until(queue: Waiting, decision: Decision, latency: LatencyModel, policy: BatchPolicy) -> float:
    """Before this time the decision is the same, if nothing comes or goes; monotonic seconds, and maybe past.

    So who has many queues need not decide on all of them anew for each batch of one.
    """
    match decision:
        case WaitUntil(time):
            return time
        case Run(size) if size == policy.sizes[-1]:
            enforced = (each for each, is_enforced in zip(queue.deadlines, queue.enforced, strict=True) if is_enforced)
            return min(enforced, default=math.inf) - latency.seconds(size)
        case _:
            return -math.inf


def _largest_in_time(queue: Waiting, now: float, latency: LatencyModel, policy: BatchPolicy, waiting: int) -> int:
    """The largest size with which every enforced item of the batch makes its deadline (1 always does: see Drop)."""
    best = policy.sizes[0]
    tightest = math.inf
    taken = 0
    for size in policy.sizes:
        if size > waiting:
            break
        for position in range(taken, size):
            if queue.enforced[position]:
                tightest = min(tightest, queue.deadlines[position])
        taken = size
        if now + latency.seconds(size) <= tightest:
            best = size
    return best


def _latest_start(queue: Waiting, alone: float, latency: LatencyModel, policy: BatchPolicy) -> float:
    """When a batch with one more item would have to start so that nobody who waits now is late.

    Items that are late already (not enforced, or they would have been dropped) do not count: hurrying cannot help them,
    and small batches would make all that follow later still.
    """
    larger = next((size for size in policy.sizes if size > len(queue.deadlines)), policy.sizes[-1])
    return min((deadline for deadline in queue.deadlines if deadline >= alone), default=math.inf) - latency.seconds(
        larger
    )

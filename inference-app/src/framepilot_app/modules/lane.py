"""One version of a module on the device, with the queue of items that were prepared for it.

A swap opens a second lane beside the first: items from then on are prepared for the new version and queue there, the
old lane serves what was prepared for it, and is closed when its last item is done. So nothing is prepared twice,
nothing is lost, and the switch itself is the exchange of one reference between two batches.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from framepilot.contract.desired import Engine
from framepilot.contract.observed import ObservedEngine, ProfilePoint
from framepilot.scheduling.batcher import BatchPolicy, Decision, Drop, Run, WaitUntil, decide, holds_until
from framepilot.scheduling.latency import LatencyModel
from framepilot_app.graphs.engine import Compiled
from framepilot_app.graphs.identity import Member
from framepilot_app.models.model import Model
from framepilot_app.models.spec import ModelSpec
from framepilot_app.modules.normalise import Normaliser
from framepilot_app.modules.queue import FairQueue, Item
from framepilot_app.modules.time_limit import TimeLimit

log = logging.getLogger(__name__)

FOLLOW = 0.1
"""How fast `usual_size` and `beside_s` follow."""

FORGET = 0.05
"""How far the latency model goes back to what was measured at load, when it let an item no chance from the start."""


@dataclass(frozen=True, slots=True)
class Urgency:
    """The highest priority, and the tightest deadline, of what waits in a lane."""

    priority: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Opened:
    """A model as others can see into it: what it computes, and where its parameters are."""

    member: Member
    model: Model


@dataclass(frozen=True, slots=True)
class Version:
    """A model version that has been loaded, warmed and checked.

    `asked` is the engine that was declared; `engines` are those that were tried, first the one that runs it.
    """

    spec: ModelSpec
    sha256: str
    compiled: Compiled
    profile: tuple[ProfilePoint, ...]
    asked: Engine = Engine.AUTO
    engines: tuple[ObservedEngine, ...] = ()
    opened: Opened | None = None
    """Its program opened up, if torch may run it: parts of it may run for others as well, whatever engine runs it."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided under a policy, and until when it holds if there have been no more changes than these."""

    changes: int
    policy: BatchPolicy
    until: float
    decision: Decision
    urgency: Urgency


class Lane:
    """Items come from the workers (`push`), batches are taken by the device thread (`decide`, `take`)."""

    def __init__(self, service: str, module: str, version: Version, device: torch.device) -> None:
        self.service = service
        self.module = module
        self.version = version
        self._measured = LatencyModel.measured((point.batch, point.p50_ms / 1000) for point in version.profile)
        self.latency = self._measured
        self.time_limit = TimeLimit(self._measured)
        self.normalise = Normaliser(version.spec.input, device)
        self.beside_s = 0.0
        """What batches have lately taken beyond their own part, because others ran with them, seconds."""
        self.usual_size = 1.0
        """What batches have lately held on average."""
        self.outstanding = 0
        """Items that are being prepared, wait, or run; guarded by the module."""
        # By size; each value is exchanged as a whole, so that count and seconds that are read together belong together.
        self._batches: dict[int, tuple[int, float]] = {}
        self._queue = FairQueue()
        self._lock = threading.Lock()
        # Of what a decision depends on, besides time and policy.
        self._changes = 0
        self._decided: _Decided | None = None

    @property
    def name(self) -> str:
        """The module's, among those of all services."""
        return f"{self.service}/{self.module}"

    @property
    def priority(self) -> int:
        """The highest of what waits; -1 if nothing does."""
        with self._lock:
            return self._queue.priority

    @property
    def queued(self) -> int:
        """Items that wait."""
        return len(self._queue)

    @property
    def head(self) -> Item | None:
        """The item that goes first, if any waits."""
        with self._lock:
            return self._queue.head

    @property
    def batches(self) -> dict[int, tuple[int, float]]:
        """Batches that ran, by size: how many, and the seconds that they took together."""
        return self._batches.copy()

    def push(self, items: Sequence[Item]) -> None:
        """Add prepared items."""
        with self._lock:
            self._changes += 1
            self._queue.push(items)

    def decide(self, now: float, policy: BatchPolicy) -> tuple[Decision, Urgency]:
        """What to do now, and how urgent what waits is."""
        decided = self._decided
        if (
            decided is not None
            and decided.changes == self._changes
            and decided.policy is policy
            and now < decided.until
        ):
            return decided.decision, decided.urgency
        with self._lock:
            changes = self._changes
            waiting = self._queue.waiting()
            priority = self._queue.priority
        urgency = Urgency(priority, min(waiting.deadlines, default=float("inf")))
        decision = decide(waiting, now, self.latency, policy)
        if isinstance(decision, WaitUntil) and math.isfinite(decision.time):
            # Others can run with it only if it begins so much sooner.
            early = WaitUntil(decision.time - self.beside_s)
            then = decide(waiting, decision.time, self.latency, policy) if now >= early.time else early
            decision = decision if isinstance(then, Drop) else then
        self._decided = _Decided(
            changes, policy, holds_until(waiting, decision, self.latency, policy), decision, urgency
        )
        return decision, urgency

    def ran_alone(self, began_at: float, size: int, seconds: float) -> bool:
        """A batch, which may have failed, held the device for so long; whether that was longer than it may."""
        was_open = self.time_limit.open
        too_long = self.time_limit.ran_alone(began_at, size, seconds)
        if self.time_limit.open:
            # While hardly anything runs, nobody has to reckon with how slow it was, and a trial must not seem hopeless.
            self.latency = self._measured
        if self.time_limit.open and not was_open:
            log.warning(
                "a module is stopped",
                extra={"service": self.service, "module_name": self.module, "reason": self.time_limit.why()},
            )
        return too_long

    def usual_part_s(self) -> float:
        """What this lane has to answer for of a batch as they have lately been, seconds."""
        return self.latency.seconds(round(self.usual_size))

    def usual_batch_s(self) -> float:
        """How long a batch as they have lately been takes, with what runs beside it, seconds."""
        return self.usual_part_s() + self.beside_s

    def take(self, decision: Run | Drop) -> list[Item]:
        """Take what was decided. Only the device thread takes, so what it decided on is still there."""
        with self._lock:
            self._changes += 1
            if isinstance(decision, Run):
                return self._queue.take(decision.size)
            dropped = self._queue.remove(decision.items)
        alone_s = self.latency.seconds(1)
        if any(item.arrived_at + alone_s > item.deadline for item in dropped):
            # After a slow moment the model may be so pessimistic that nothing runs; then no run would put it right.
            self.latency = self.latency.towards(self._measured, FORGET)
        return dropped

    def clear(self) -> list[Item]:
        """Take all that waits."""
        with self._lock:
            self._changes += 1
            return self._queue.take(len(self._queue))

    def take_with(self, sizes: Sequence[int], fits: Callable[[Sequence[Item]], bool]) -> list[Item]:
        """Take the most items that fit, by the largest of these sizes, ascending, with which they do; none if none do.

        `fits` is asked under the lane's lock, and must be quick. More than what does not fit does not fit either.
        """
        with self._lock:
            fewest = self._queue.first(sizes[0])
            if len(fewest) < sizes[0] or not fits(fewest):
                return []
            first = self._queue.first(sizes[-1])
            size = next(size for size in reversed(sizes) if size <= len(first) and fits(first[:size]))
            self._changes += 1
            return self._queue.take(size)

    def observe(self, size: int, seconds: float, beside_s: float = 0.0) -> None:
        """A batch of this size took so long: it is counted, and the latency model follows.

        `beside_s` is what it took longer because other modules' items ran with it.
        """
        with self._lock:
            self._changes += 1
        count, together = self._batches.get(size, (0, 0.0))
        self._batches[size] = (count + 1, together + seconds)
        self.latency = self.latency.observed(size, seconds)
        self.usual_size += FOLLOW * (size - self.usual_size)
        self.beside_s += FOLLOW * (beside_s - self.beside_s)


def opened(lane: Lane) -> Opened:
    """Its program, opened up.

    Raises:
        ValueError: it cannot be.
    """
    if lane.version.opened is None:
        raise ValueError(f"{lane.name}: its program cannot be opened up")
    return lane.version.opened

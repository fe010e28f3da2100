"""One version of a module on the device, with the queue of items that were prepared for it.

A swap opens a second lane beside the first: items from then on are prepared for the new version and queue there, the
old lane serves what was prepared for it, and is closed when its last item is done. So nothing is prepared twice,
nothing is lost, and the switch itself is the exchange of one reference between two batches.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from framepilot.contract.observed import ProfilePoint
from framepilot.scheduling.batcher import BatchPolicy, Decision, Drop, Run, decide
from framepilot.scheduling.latency import LatencyModel
from framepilot_app.graphs.engine import Compiled
from framepilot_app.models.spec import ModelSpec
from framepilot_app.modules.normalise import Normaliser
from framepilot_app.modules.queue import FairQueue, Item

FOLLOW = 0.1
"""How fast `usual_size` follows."""

FORGET = 0.05
"""How far the latency model goes back to what was measured at load, when it let an item no chance from the start."""


@dataclass(frozen=True, slots=True)
class Urgency:
    """The highest priority, and the tightest deadline, of what waits in a lane."""

    priority: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Version:
    """A model version that has been loaded, warmed and checked."""

    spec: ModelSpec
    sha256: str
    compiled: Compiled
    profile: tuple[ProfilePoint, ...]


class Lane:
    """Items come from the workers (`push`), batches are taken by the device thread (`decide`, `take`)."""

    def __init__(self, service: str, module: str, version: Version, device: torch.device) -> None:
        self.service = service
        self.module = module
        self.version = version
        self._measured = LatencyModel.measured((point.batch, point.p50_ms / 1000) for point in version.profile)
        self.latency = self._measured
        self.normalise = Normaliser(version.spec.input, device)
        self.usual_size = 1.0
        """What batches have lately held on average."""
        self.outstanding = 0
        """Items that are being prepared, wait, or run; guarded by the module."""
        self._queue = FairQueue()
        self._lock = threading.Lock()

    @property
    def queued(self) -> int:
        """Items that wait."""
        return len(self._queue)

    def push(self, items: Sequence[Item]) -> None:
        """Add prepared items."""
        with self._lock:
            self._queue.push(items)

    def decide(self, now: float, policy: BatchPolicy) -> tuple[Decision, Urgency]:
        """What to do now, and how urgent what waits is."""
        with self._lock:
            waiting = self._queue.waiting()
            priority = self._queue.priority
        urgency = Urgency(priority, min(waiting.deadlines, default=float("inf")))
        return decide(waiting, now, self.latency, policy), urgency

    def usual_batch_s(self) -> float:
        """How long a batch as they have lately been takes, seconds."""
        return self.latency.seconds(round(self.usual_size))

    def take(self, decision: Run | Drop) -> list[Item]:
        """Take what was decided. Only the device thread takes, so what it decided on is still there."""
        with self._lock:
            if isinstance(decision, Run):
                return self._queue.take(decision.size)
            dropped = self._queue.remove(decision.items)
        alone_s = self.latency.seconds(1)
        if any(item.arrived_at + alone_s > item.deadline for item in dropped):
            # After a slow moment the model may be so pessimistic that nothing runs; then no run would put it right.
            self.latency = self.latency.towards(self._measured, FORGET)
        return dropped

    def observe(self, size: int, seconds: float) -> None:
        """A batch of this size took so long: the latency model follows."""
        self.latency = self.latency.observed(size, seconds)
        self.usual_size += FOLLOW * (size - self.usual_size)

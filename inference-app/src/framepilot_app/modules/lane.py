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
        self.latency = LatencyModel.measured((point.batch, point.p50_ms / 1000) for point in version.profile)
        self.normalise = Normaliser(version.spec.input, device)
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

    def decide(self, now: float, policy: BatchPolicy) -> tuple[Decision, float]:
        """What to do now, and the tightest deadline of what waits (the lane's urgency)."""
        with self._lock:
            waiting = self._queue.waiting()
        urgency = min(waiting.deadlines, default=float("inf"))
        return decide(waiting, now, self.latency, policy), urgency

    def take(self, decision: Run | Drop) -> list[Item]:
        """Take what was decided. Only the device thread takes, so what it decided on is still there."""
        with self._lock:
            return self._queue.take(decision.size) if isinstance(decision, Run) else self._queue.remove(decision.items)

    def observe(self, size: int, seconds: float) -> None:
        """A batch of this size took so long: the latency model follows."""
        self.latency = self.latency.observed(size, seconds)

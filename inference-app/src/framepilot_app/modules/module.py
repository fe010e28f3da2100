"""A module at run time: the lane that new items go to, the batch policy in force, and what it has measured.

Batch size and wait are a policy object that the device thread reads before every batch, so a change is in
force from the next one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from framepilot.contract.desired import Batch, DesiredModule
from framepilot.contract.observed import ObservedBatch, ObservedTimeLimit
from framepilot.scheduling.batcher import BatchPolicy
from framepilot.scheduling.latency import batch_sizes
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.stage_window import StageTimes, StageWindow

FOLLOW = 0.05
"""How fast the usual number of items in a frame follows."""

WINDOW_ITEMS = 1024
"""Over how many of the latest items the quantiles of /status are taken."""


class Module:
    """One module of one service. Lanes are exchanged and items counted under one lock."""

    def __init__(self, service: str, declared: DesiredModule, on_drained: Callable[[Lane], None]) -> None:
        self.service = service
        self.name = declared.name
        self.model_name = declared.model.name
        self.items = 0
        self.arrived = 0
        self.time_limit_s = math.inf
        """The longest that one batch may hold the device, seconds; in force from the next one."""
        self.over_limit = 0
        """Batches that took longer; counted by the device thread."""
        self._times = StageWindow(WINDOW_ITEMS)
        # Workers may overwrite each other's: it is an estimate.
        self._usual_items = 1.0
        self._on_drained = on_drained
        self._lock = threading.Lock()
        self._lane: Lane | None = None
        self._lanes: tuple[Lane, ...] = ()
        self.set_batch(declared.batch)

    @property
    def lane(self) -> Lane | None:
        """The lane of the serving version; None before the first one serves."""
        return self._lane

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All lanes that may have items: the serving version's, and old ones until they are drained."""
        return self._lanes

    @property
    def queued(self) -> int:
        """Items that wait, in all lanes."""
        return sum(lane.queued for lane in self._lanes)

    @property
    def working(self) -> bool:
        """Whether items are being prepared, wait, or run."""
        return any(lane.outstanding for lane in self._lanes)

    def set_batch(self, batch: Batch) -> None:
        """In force from the next batch."""
        self.policy = BatchPolicy(batch_sizes(batch.size), batch.max_wait_ms / 1000)
        self.batch = ObservedBatch(size=batch.size, limit=batch.limit, max_wait_ms=batch.max_wait_ms, since=time.time())

    def hurry(self) -> None:
        """Wait for fuller batches no more: nothing will come to fill them."""
        self.policy = BatchPolicy(self.policy.sizes, 0.0)

    def room(self, room: int, now: float) -> int:
        """How many frames that are not to be lost may be under way, of so many: hardly any while it is stopped."""
        lane = self._lane
        return lane.time_limit.room(room, self.time_limit_s, now) if lane else room

    def observed_time_limit(self) -> ObservedTimeLimit | None:
        """How the serving version keeps to its service's time limit; None: nothing serves, or there is no limit."""
        lane = self._lane
        return lane.time_limit.observed(self.policy, self.time_limit_s, self.over_limit) if lane else None

    def alone_s(self) -> float:
        """How long a batch of one takes now, seconds."""
        return self._lane.latency.seconds(1) if self._lane else 0.0

    def usual_batch_s(self) -> float:
        """How long a batch as they have lately been takes, seconds."""
        return self._lane.usual_batch_s() if self._lane else 0.0

    def frame_s(self) -> float:
        """The device time that a frame's items take here, seconds, by what was usual lately."""
        lane = self._lane
        return self._usual_items * lane.usual_part_s() / lane.usual_size if lane else 0.0

    def visit(self, items: int) -> None:
        """A frame has so many items for this module."""
        self._usual_items += FOLLOW * (items - self._usual_items)

    def switch(self, lane: Lane) -> None:
        """New items go to this lane. The old one is drained, then handed to `on_drained`."""
        with self._lock:
            old, self._lane = self._lane, lane
            self._lanes = (*self._lanes, lane)
            drained = old is not None and old.outstanding == 0
        if old is not None and drained:
            self._close(old)

    def enter(self, items: int) -> Lane:
        """Announce items of one frame; they go to the lane that is returned.

        Raises:
            RuntimeError: no version serves; frames are admitted only when every module has one.
        """
        with self._lock:
            if self._lane is None:
                raise RuntimeError(f"{self.service}: module '{self.name}' has no version that serves")
            self._lane.outstanding += items
            self.arrived += items
            return self._lane

    def count(self, times: Sequence[StageTimes]) -> None:
        """Items that have run, and what they spent where."""
        with self._lock:
            self.items += len(times)
            self._times.add(times)

    def recent(self, most: int = WINDOW_ITEMS) -> NDArray[np.float64]:
        """The latest items' times, items x `StageTimes`, the oldest first; at most so many."""
        with self._lock:
            return self._times.latest(most)

    def leave(self, lane: Lane, items: int) -> None:
        """Items of a lane are done, whatever came of them."""
        with self._lock:
            lane.outstanding -= items
            drained = lane is not self._lane and lane.outstanding == 0
        if drained:
            self._close(lane)

    def retire(self) -> None:
        """The module was removed and no frame will come any more: give its lane back."""
        with self._lock:
            lane, self._lane = self._lane, None
        if lane is not None:
            self._close(lane)

    def _close(self, lane: Lane) -> None:
        with self._lock:
            self._lanes = tuple(other for other in self._lanes if other is not lane)
        self._on_drained(lane)

"""How else a batch is chosen, to compare the tuner with. Each of these is told what ran, and changes nothing else.

Clipper's rule is that of section 4.3 of its paper (Crankshaw et al., NSDI 2017): the cap rises by a fixed step while
batches keep to the objective, and falls by a tenth when one does not; whoever waits is taken as soon as the device is
free. The other rule is like that of BentoML's dispatcher (its file `_internal/marshal/dispatcher.py`): a line fitted to
the latest batches says what a batch will take, items that would be late are refused, and a batch is held back while
that costs those who wait less than batches have lately waited. It takes the oldest items first, as all rules here do.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

from framepilot.contract.desired import Batch
from framepilot.scheduling.batcher import BatchPolicy, Decision, Drop, Run, Waiting, WaitUntil
from framepilot.scheduling.latency import LatencyModel
from support.simulated_device import SimulatedDevice

STEP: Final = 1
"""Items by which Clipper's cap rises."""
BACK_OFF: Final = 0.9
KEPT: Final = 50
"""Batches that a line is fitted to,"""
REFRESH_S: Final = 5.0
"""at most so often."""
TICK_S: Final = 0.001
DECAY: Final = 0.95


class Clipper:
    """Additive increase, multiplicative decrease of the cap; no wait."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device
        self._objective_s = device.service.spec.objective.latency_ms / 1000
        device.ran = self._ran

    def _ran(self, size: int, seconds: float) -> None:
        cap = self._device.told.size
        if seconds > self._objective_s:
            cap = max(1, math.floor(BACK_OFF * cap))
        elif size == cap:
            cap = min(cap + STEP, self._device.largest)
        if cap != self._device.told.size:
            self._device.told = Batch(size=cap, limit=self._device.largest)
            self._device.changes.append((self._device.now, cap))


class Regression:
    """A line through what batches took decides when the next one runs."""

    def __init__(self, device: SimulatedDevice) -> None:
        self._device = device
        self._batches: deque[tuple[int, float, float]] = deque(maxlen=KEPT)
        self._each_s, self._fixed_s, self._wait_s = 2.0, 1.0, 0.01
        self._refreshed_at = -math.inf
        self._waited_s = 0.0
        device.rule, device.ran = self._decide, self._ran

    def _decide(self, queue: Waiting, now: float, _latency: LatencyModel, _policy: BatchPolicy) -> Decision:
        waiting = len(queue.arrivals)
        if not waiting:
            return WaitUntil(math.inf)
        if waiting > 1 and now + self._each_s * waiting + self._fixed_s >= min(queue.deadlines):
            return Drop((0,))
        hold_until = queue.arrivals[-1] + self._wait_s * DECAY / waiting - TICK_S - self._each_s
        if waiting < self._device.largest and now < hold_until:
            return WaitUntil(hold_until)
        self._waited_s = now - queue.arrivals[0]
        return Run(min(waiting, self._device.largest))

    def _ran(self, size: int, seconds: float) -> None:
        self._batches.append((size, seconds, self._waited_s))
        if self._device.now < self._refreshed_at + REFRESH_S:
            return
        self._refreshed_at = self._device.now
        each_s, fixed_s = np.linalg.lstsq(
            [(size, 1.0) for size, _, _ in self._batches], [took for _, took, _ in self._batches], rcond=None
        )[0]
        self._each_s, self._fixed_s = max(1e-6, float(each_s)), max(0.0, float(fixed_s))
        self._wait_s = float(np.mean([waited for _, _, waited in self._batches]))

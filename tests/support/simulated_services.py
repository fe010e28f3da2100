"""Services of a module each on one device, in simulated time: the real gate, queues, batcher, and choice of a batch.

The device takes 10 ms for a batch and 10 ms for each of its items, with noise. Frames are with the workers for a while
before they wait for it, and afterwards.
"""

from __future__ import annotations

import functools
import heapq
import math
import random
from collections import Counter
from itertools import count

import numpy as np
import torch

from framepilot.contract.observed import ProfilePoint
from framepilot_app.frames import Delivered, Dropped, DropReason
from framepilot_app.modules.device import DeviceThread, ItemsDropped
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.graph import Graph
from framepilot_app.modules.joint import Part
from framepilot_app.modules.journey import Journey
from framepilot_app.modules.lane import Lane, Version
from framepilot_app.modules.module import Module
from framepilot_app.modules.preprocess import prepare
from framepilot_app.modules.queue import Item
from support.fake_engine import FakeCompiled, frame, graph, module, version

SIZE = 4
OBJECTIVE_S = 0.2
CAPACITY_FPS = SIZE / (0.010 + SIZE * 0.010)


class Served:
    """A service with one module that serves."""

    def __init__(self, name: str) -> None:
        self.module: Module = module(size=SIZE, wait_ms=20, service=name)
        profile = tuple(ProfilePoint(batch=n, p50_ms=10 + 10 * n, p99_ms=10 + 10 * n) for n in (1, 2, 4))
        served = version(FakeCompiled())
        timed = Version(served.spec, "2" * 64, served.compiled, profile)
        self.module.switch(Lane(name, "a", timed, torch.device("cpu")))
        self.graph: Graph = graph(self.module)
        self.pixels = prepare(np.zeros((8, 8, 3), np.uint8), None, served.spec.input)


class World:
    """A gate, a device, and what comes of every frame.

    A stream is of the service whose name stands before its own, such as `b/b yard`, or of `s/s`. `worker_s` is how long
    a frame is with the workers before it waits for the device, and after it was on it.
    """

    def __init__(
        self, priorities: dict[str, int], periods: dict[str, float] | None = None, worker_s: float = 0.0
    ) -> None:
        self.now = 0.0
        self.slow = 1.0
        self.slow_of: dict[str, float] = {}
        """How many times as long as others a service's batches take."""
        self.offered: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.dropped: Counter[DropReason] = Counter()
        self.dropped_of: Counter[tuple[str, DropReason]] = Counter()
        self.missed: Counter[str] = Counter()
        self.device_s: Counter[str] = Counter()
        self.batches: dict[str, list[tuple[float, int, float]]] = {}
        """By service: when each batch began, its items, and its seconds."""
        self._priorities = priorities
        self._periods = periods or {}
        self._worker_s = worker_s
        self._random = random.Random(1)
        self._events: list = []
        self._order = count()
        self._busy = False
        self._services = {name: Served(name) for name in {service_of(stream) for stream in priorities}}
        self._device = DeviceThread(torch.device("cpu"), lambda _: None, self._dropped, clock=lambda: self.now)
        self._device.set_modules(tuple(served.module for served in self._services.values()))
        self._gate = Gate(
            self._device.longest_batch_s,
            clock=lambda: self.now,
            limits=self._device.limits,
            later=lambda seconds, task: self._at(self.now + seconds, task),
        )

    def reserve(self, **shares: float) -> None:
        """What services reserve from now on, by the last part of their names."""
        reserves = {name: shares.get(name.rpartition("/")[2], 0.0) for name in self._services}
        self._device.reserve(reserves)
        self._gate.reserve(reserves)

    def limit(self, **limits: float) -> None:
        """The most that services may take from now on, by the last part of their names."""
        last = {name: name.rpartition("/")[2] for name in self._services}
        self._device.limit({name: limits[part] for name, part in last.items() if part in limits})

    def limit_time(self, **limits_s: float) -> None:
        """The longest that one batch may take from now on, by the last part of services' names; else no limit."""
        for name, served in self._services.items():
            served.module.time_limit_s = limits_s.get(name.rpartition("/")[2], math.inf)

    def module(self, service: str) -> Module:
        """A service's."""
        return self._services[service].module

    def run(self, until: float, period: float) -> None:
        """Every stream gives frames until then, with this period unless it has one of its own."""
        start = self.now
        for stream in self._priorities:
            own = self._periods.get(stream, period)
            self._at(start + self._random.random() * own, functools.partial(self._arrive, stream, own, until))
        while self._events and self._events[0][0] < until:
            self.now, _, event = heapq.heappop(self._events)
            event()

    def let_in(self, journey: Journey) -> None:
        served = self._services[journey.frame.id.service]
        item = Item(journey, served.graph.nodes[0], 0, served.pixels, journey.frame.deadline, self.now, 0.0)
        self._at(self.now + self._worker_s, functools.partial(self._prepared, served.module.enter(1), item))

    def refuse(self, journey: Journey, reason: DropReason) -> None:
        self.dropped[reason] += 1
        self.dropped_of[journey.frame.id.service, reason] += 1

    def _at(self, time: float, event) -> None:
        heapq.heappush(self._events, (time, next(self._order), event))

    def _arrive(self, stream: str, period: float, until: float) -> None:
        self.offered[stream] += 1
        service = service_of(stream)
        of = frame(stream=stream, service=service, deadline=self.now + OBJECTIVE_S, priority=self._priorities[stream])
        self._gate.wait(Journey(of, self._services[service].graph, lambda *_: None), self, lambda: 3 * SIZE)
        if self.now + period < until:
            self._at(self.now + period, lambda: self._arrive(stream, period, until))

    def _prepared(self, lane: Lane, item: Item) -> None:
        lane.push([item])
        self._look()

    def _look(self) -> None:
        if self._busy:
            return
        due, look_again_at = self._device._look(self.now)
        if due is not None:
            of, lane, decision = due
            self._busy = True
            items = lane.take(decision)
            seconds = (0.010 + 0.010 * len(items)) * self.slow * self._random.lognormvariate(0, 0.1)
            seconds *= self.slow_of.get(of.service, 1.0)
            self.batches.setdefault(of.service, []).append((self.now, len(items), seconds))
            self._at(self.now + seconds, lambda: self._ran(of, lane, items, seconds))
        elif look_again_at < float("inf"):
            self._at(look_again_at, self._look)

    def _dropped(self, dropped: ItemsDropped) -> None:
        reason = DropReason.LATE if dropped.stopped is None else DropReason.ERROR
        for item in dropped.items:
            self.dropped[reason] += 1
            self.dropped_of[dropped.module.service, reason] += 1
            dropped.module.leave(dropped.lane, 1)
            # Told by a worker, and not within the device's look.
            self._at(self.now, lambda of=item.journey: self._gate.ended(of, Dropped(of.frame, reason)))

    def _ran(self, of: Module, lane: Lane, items: list[Item], seconds: float) -> None:
        self._busy = False
        self._device._charge(self.now - seconds, [(Part(of, lane, items), seconds)])
        lane.observe(len(items), seconds)
        of.over_limit += lane.ran_alone(self.now - seconds, len(items), seconds)
        self.device_s[of.service] += seconds
        self._at(self.now + self._worker_s, lambda: self._done(of, lane, items))
        self._look()

    def _done(self, of: Module, lane: Lane, items: list[Item]) -> None:
        of.leave(lane, len(items))
        for item in items:
            frame_ = item.journey.frame
            self.delivered[frame_.id.stream] += 1
            self.missed[frame_.id.service] += self.now > frame_.deadline
            self._gate.ended(item.journey, Delivered(frame_, (), 1.0))
        self._look()

    def attainment(self) -> float:
        return 1 - self.missed.total() / self.delivered.total()


def service_of(stream: str) -> str:
    service, _, _ = stream.rpartition(" ")
    return service or "s/s"


def jain(values) -> float:
    values = [*values]
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))

"""More load than capacity, in simulated time: the real gate, queue and batcher.

The device takes 10 ms for a batch and 10 ms for each of its items, with noise.
"""

from __future__ import annotations

import functools
import heapq
import random
from collections import Counter
from itertools import count

import numpy as np
import torch

from framepilot.contract.observed import ProfilePoint
from framepilot.scheduling.batcher import Drop, Run
from framepilot_app.frames import Delivered, Dropped, DropReason
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.journey import Journey
from framepilot_app.modules.lane import Lane, Version
from framepilot_app.modules.preprocess import prepare
from framepilot_app.modules.queue import Item
from support.fake_engine import FakeCompiled, frame, graph, module, version

SIZE = 4
OBJECTIVE_S = 0.2
CAPACITY_FPS = SIZE / (0.010 + SIZE * 0.010)


class World:
    """A gate, one module, and what comes of every frame."""

    def __init__(self, priorities: dict[str, int], periods: dict[str, float] | None = None) -> None:
        self.now = 0.0
        self.slow = 1.0
        self.offered: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.dropped: Counter[DropReason] = Counter()
        self.missed = 0
        self._priorities = priorities
        self._periods = periods or {}
        self._random = random.Random(1)
        self._events: list = []
        self._order = count()
        self._busy = False
        self._module = module(size=SIZE, wait_ms=20)
        profile = tuple(ProfilePoint(batch=n, p50_ms=10 + 10 * n, p99_ms=10 + 10 * n) for n in (1, 2, 4))
        served = version(FakeCompiled())
        timed = Version(served.spec, "2" * 64, served.compiled, profile)
        self._module.switch(Lane("s/s", "a", timed, torch.device("cpu")))
        self._graph = graph(self._module)
        self._pixels = prepare(np.zeros((8, 8, 3), np.uint8), None, served.spec.input)
        self._gate = Gate(self._module.usual_batch_s, clock=lambda: self.now)

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
        lane = self._module.enter(1)
        item = Item(journey, self._graph.nodes[0], 0, self._pixels, journey.frame.deadline, self.now, 0.0)
        lane.push([item])
        self._device()

    def refuse(self, journey: Journey, reason: DropReason) -> None:
        self.dropped[reason] += 1

    def _at(self, time: float, event) -> None:
        heapq.heappush(self._events, (time, next(self._order), event))

    def _arrive(self, stream: str, period: float, until: float) -> None:
        self.offered[stream] += 1
        of = frame(stream=stream, deadline=self.now + OBJECTIVE_S, priority=self._priorities[stream])
        self._gate.wait(Journey(of, self._graph, lambda *_: None), self, lambda: 3 * SIZE)
        if self.now + period < until:
            self._at(self.now + period, lambda: self._arrive(stream, period, until))

    def _device(self) -> None:
        if self._busy:
            return
        lane = self._module.lane
        decision, _ = lane.decide(self.now, self._module.policy)
        if isinstance(decision, Drop):
            for item in lane.take(decision):
                self.dropped[DropReason.LATE] += 1
                self._gate.ended(item.journey, Dropped(item.journey.frame, DropReason.LATE))
            self._device()
        elif isinstance(decision, Run):
            self._busy = True
            items = lane.take(decision)
            seconds = (0.010 + 0.010 * len(items)) * self.slow * self._random.lognormvariate(0, 0.1)
            self._at(self.now + seconds, lambda: self._done(lane, items, seconds))
        elif decision.time < float("inf"):
            self._at(decision.time, self._device)

    def _done(self, lane: Lane, items: list[Item], seconds: float) -> None:
        self._busy = False
        lane.observe(len(items), seconds)
        for item in items:
            of = item.journey.frame
            self.delivered[of.id.stream] += 1
            self.missed += self.now > of.deadline
            self._gate.ended(item.journey, Delivered(of, (), 1.0))
        self._device()

    def attainment(self) -> float:
        return 1 - self.missed / self.delivered.total()


def jain(values) -> float:
    values = [*values]
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


EQUAL = {f"camera-{index}": 50 for index in range(10)}
TWICE = len(EQUAL) / (2 * CAPACITY_FPS)
"""The period at which ten streams give twice what the device can take."""


def test_at_twice_the_capacity_what_is_delivered_is_in_time_equal_streams_get_equal_shares_and_the_device_is_busy():
    world = World(EQUAL)
    world.run(120, TWICE)
    assert world.attainment() >= 0.99
    assert jain(world.delivered.values()) >= 0.999
    assert world.delivered.total() >= 0.95 * CAPACITY_FPS * 120
    assert world.dropped[DropReason.LATE] <= 0.01 * world.delivered.total(), "nothing is prepared to be dropped late"


def test_a_stream_that_wants_less_than_its_share_gets_nearly_all_of_it():
    world = World({**EQUAL, "slow": 50}, periods={"slow": 10 * TWICE})
    world.run(120, TWICE)
    assert world.delivered["slow"] >= 0.95 * world.offered["slow"]
    assert jain(world.delivered[stream] for stream in EQUAL) >= 0.999


def test_the_highest_priority_gets_nearly_all_of_its_frames_and_the_others_share_the_rest():
    world = World({**EQUAL, "camera-0": 90, "camera-1": 10})
    world.run(120, TWICE)
    assert world.delivered["camera-0"] >= 0.98 * world.offered["camera-0"]
    assert world.delivered["camera-1"] < 0.2 * world.offered["camera-1"]
    assert jain(world.delivered[f"camera-{index}"] for index in range(2, 10)) >= 0.999
    assert world.attainment() >= 0.99


def test_below_capacity_nothing_is_dropped():
    world = World(EQUAL)
    world.run(60, 2.5 * TWICE)
    assert world.delivered.total() >= world.offered.total() - 3 * SIZE
    assert world.attainment() >= 0.99
    assert world.dropped.total() == 0


def test_after_a_time_when_the_device_was_ten_times_as_slow_it_delivers_all_again_by_itself():
    world = World(EQUAL)
    world.run(30, 2.5 * TWICE)
    world.slow = 10.0
    world.run(60, 2.5 * TWICE)
    world.slow = 1.0
    world.run(75, 2.5 * TWICE)
    before = world.delivered.total(), world.offered.total()
    world.run(105, 2.5 * TWICE)
    assert world.delivered.total() - before[0] >= 0.99 * (world.offered.total() - before[1])

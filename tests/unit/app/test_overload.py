"""More load than capacity, in simulated time: the real gate, queues, batcher, and choice of the next batch.

The device takes 10 ms for a batch and 10 ms for each of its items, with noise. Frames are with the workers for a while
before they wait for it, and afterwards.
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
from framepilot_app.frames import Delivered, Dropped, DropReason
from framepilot_app.modules.device import DeviceThread, ItemsLate
from framepilot_app.modules.gate import Gate
from framepilot_app.modules.graph import Graph
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
        self.offered: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.dropped: Counter[DropReason] = Counter()
        self.missed = 0
        self.device_s: Counter[str] = Counter()
        self._priorities = priorities
        self._periods = periods or {}
        self._worker_s = worker_s
        self._random = random.Random(1)
        self._events: list = []
        self._order = count()
        self._busy = False
        self._services = {name: Served(name) for name in {service_of(stream) for stream in priorities}}
        self._device = DeviceThread(torch.device("cpu"), lambda _: None, self._late, clock=lambda: self.now)
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
            self._at(self.now + seconds, lambda: self._ran(of, lane, items, seconds))
        elif look_again_at < float("inf"):
            self._at(look_again_at, self._look)

    def _late(self, late: ItemsLate) -> None:
        for item in late.items:
            self.dropped[DropReason.LATE] += 1
            late.module.leave(late.lane, 1)
            # Told by a worker, and not within the device's look.
            self._at(self.now, lambda of=item.journey: self._gate.ended(of, Dropped(of.frame, DropReason.LATE)))

    def _ran(self, of: Module, lane: Lane, items: list[Item], seconds: float) -> None:
        self._busy = False
        lane.observe(len(items), seconds)
        self.device_s[of.service] += seconds
        self._device._charge(self.now - seconds, [(of.service, seconds)])
        self._at(self.now + self._worker_s, lambda: self._done(of, lane, items))
        self._look()

    def _done(self, of: Module, lane: Lane, items: list[Item]) -> None:
        of.leave(lane, len(items))
        for item in items:
            frame_ = item.journey.frame
            self.delivered[frame_.id.stream] += 1
            self.missed += self.now > frame_.deadline
            self._gate.ended(item.journey, Delivered(frame_, (), 1.0))
        self._look()

    def attainment(self) -> float:
        return 1 - self.missed / self.delivered.total()


def service_of(stream: str) -> str:
    service, _, _ = stream.rpartition(" ")
    return service or "s/s"


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


PAIR = {"a/a only": 50, **{f"b/b {index}": 50 for index in range(10)}}
"""A service with one stream, and one with ten."""
PAIRS = {"a/a only": 0.4 / CAPACITY_FPS}
"""The one stream gives two and a half times what the device can take."""


def of_b(world: World) -> list[int]:
    return [world.delivered[stream] for stream in PAIR if service_of(stream) == "b/b"]


def part(world: World, service: str) -> float:
    """Its part of the device's time."""
    return world.device_s[service] / world.device_s.total()


def test_services_get_equal_parts_of_the_device_however_many_streams_they_have():
    world = World(PAIR, PAIRS, worker_s=0.005)
    world.run(60, TWICE)
    assert abs(part(world, "a/a") - 0.5) <= 0.02
    assert jain(of_b(world)) >= 0.995


def test_a_service_with_one_stream_gets_what_it_reserved_and_the_streams_of_the_other_one_share_the_rest_evenly():
    world = World(PAIR, PAIRS, worker_s=0.005)
    world.reserve(a=0.5)
    world.run(60, TWICE)
    assert 0.7 <= part(world, "a/a") <= 0.78, "its reserve, and half of what is left"
    assert jain(of_b(world)) >= 0.98
    assert world.device_s.total() >= 0.98 * 60


def test_a_reserve_is_in_force_at_once_and_so_is_its_end():
    world = World(PAIR, PAIRS, worker_s=0.005)
    until = 0
    for reserves, expected in (({}, 0.5), ({"a": 0.6}, 0.8), ({"b": 0.6}, 0.2), ({}, 0.5)):
        world.reserve(**reserves)
        until += 30
        before = world.device_s.copy()
        world.run(until, TWICE)
        took = world.device_s - before
        assert abs(took["a/a"] / took.total() - expected) <= 0.05


def test_what_a_service_does_not_use_of_its_reserve_the_other_one_gets():
    world = World(PAIR, {"a/a only": 10 / CAPACITY_FPS}, worker_s=0.005)
    world.reserve(a=0.8)
    world.run(60, TWICE)
    assert world.delivered["a/a only"] >= 0.99 * world.offered["a/a only"]
    assert part(world, "b/b") >= 0.75
    assert world.device_s.total() >= 0.98 * 60


def test_a_service_takes_no_more_than_its_limit_though_the_device_be_idle_and_what_it_delivers_is_in_time():
    world = World(EQUAL)
    world.limit(s=0.3)
    world.run(60, TWICE)
    assert 0.28 * 60 <= world.device_s["s/s"] <= 0.31 * 60
    assert world.attainment() >= 0.99
    assert jain(world.delivered.values()) >= 0.99
    assert world.dropped[DropReason.LATE] <= 0.01 * world.delivered.total()


def test_what_a_limit_leaves_the_others_get_and_a_limit_holds_for_the_highest_priority_as_well():
    world = World({**PAIR, "a/a only": 90}, PAIRS, worker_s=0.005)
    world.limit(a=0.2)
    world.run(60, TWICE)
    assert 0.17 * 60 <= world.device_s["a/a"] <= 0.21 * 60
    assert world.device_s.total() >= 0.97 * 60
    assert world.attainment() >= 0.99


def test_a_limit_is_in_force_at_once_and_so_is_its_end():
    world = World(EQUAL)
    until = 0
    for limits, least, most in (({}, 0.95, 1.0), ({"s": 0.2}, 0.18, 0.22), ({"s": 0.5}, 0.46, 0.52), ({}, 0.95, 1.0)):
        world.limit(**limits)
        until += 30
        before = world.device_s.total()
        world.run(until, TWICE)
        assert least * 30 <= world.device_s.total() - before <= most * 30 + 0.5


def test_a_limit_that_is_not_reached_costs_nothing():
    world = World(EQUAL)
    world.limit(s=0.9)
    world.run(60, 2.5 * TWICE)
    assert world.dropped.total() == 0
    assert world.attainment() >= 0.99


def test_a_higher_priority_goes_before_a_reserve():
    world = World({**PAIR, "b/b 0": 90}, PAIRS, worker_s=0.005)
    world.reserve(a=0.95)
    world.run(60, TWICE)
    assert world.delivered["b/b 0"] >= 0.98 * world.offered["b/b 0"]

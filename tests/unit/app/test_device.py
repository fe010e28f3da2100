"""The device thread: batches, what a failing model costs, and loading beside a load."""

from __future__ import annotations

import queue
import threading
import time

import numpy as np
import pytest
import torch

from framepilot.scheduling.latency import LatencyModel
from framepilot_app.modules.device import STOOD_STILL, BatchDone, DeviceThread, ItemsDropped
from framepilot_app.modules.joint import Part
from framepilot_app.modules.loadings import Loading
from framepilot_app.modules.preprocess import Prepared, prepare
from framepilot_app.modules.queue import Item
from support.eventually import eventually
from support.fake_engine import FakeCompiled, frame, graph, journey, module
from support.one_by_one import one_by_one

TIMEOUT_S = 30


class Device:
    """A running device thread and a queue of what it hands on."""

    def __init__(self, *modules) -> None:
        self.done: queue.Queue[BatchDone] = queue.Queue()
        self.late: queue.Queue[ItemsDropped] = queue.Queue()
        self.thread = DeviceThread(torch.device("cpu"), one_by_one(self.done.put), self.late.put)
        self.thread.set_modules(modules)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.stop()

    def push(self, to, *values: int, deadline: float = 1e12, arrived_at: float = 0.0, priority: int = 50) -> None:
        node = graph(to).nodes[0]
        lane = to.enter(len(values))
        items = []
        for sequence, value in enumerate(values):
            of = frame(sequence, value=value, deadline=deadline, priority=priority)
            pixels = prepare(of.image, None, lane.version.spec.input)
            items.append(Item(journey(of, graph(to)), node, 0, pixels, deadline, arrived_at, 0.0))
        lane.push(items)
        self.thread.wake()


def test_what_waits_for_a_fuller_batch_runs_when_nothing_will_come_to_fill_it():
    compiled = FakeCompiled()
    one = module(compiled, size=4, wait_ms=1e9)
    with Device(one) as device:
        device.push(one, 10, 20, 30, arrived_at=time.monotonic())
        assert one.lane.queued == 3
        one.hurry()
        device.thread.wake()
        assert len(device.done.get(timeout=TIMEOUT_S).items) == 3
    assert compiled.batches == [3]


def test_items_run_as_one_batch_and_outputs_keep_their_order():
    compiled = FakeCompiled()
    one = module(compiled, size=4)
    with Device(one) as device:
        device.push(one, 10, 20, 30, 40)
        done = device.done.get(timeout=TIMEOUT_S)
    assert compiled.batches == [4]
    assert [float(value) for value in done.outputs[0][:, 0]] == [10, 20, 30, 40]
    assert not isinstance(done.outputs, Exception)


def test_a_model_that_raises_on_one_item_costs_only_that_item():
    def answer(batch):
        if (batch[:, 0, 0, 0] == 20).any():
            raise RuntimeError("I do not like 20")
        return (batch[:, :2, 0, 0],)

    one = module(FakeCompiled(answer), size=4)
    with Device(one) as device:
        device.push(one, 10, 20, 30, 40)
        results = [device.done.get(timeout=TIMEOUT_S) for _ in range(4)]
        assert device.thread.alive
    assert [isinstance(done.outputs, RuntimeError) for done in results] == [False, True, False, False]


def test_what_cannot_make_its_deadline_is_handed_back_without_running():
    compiled = FakeCompiled()
    one = module(compiled)
    with Device(one) as device:
        device.push(one, 1, 2, deadline=0.0)
        assert len(device.late.get(timeout=TIMEOUT_S).items) == 2
    assert compiled.batches == []


def test_a_policy_is_in_force_from_the_next_batch():
    compiled = FakeCompiled()
    one = module(compiled, size=2)
    with Device(one) as device:
        device.push(one, 1, 2)
        device.done.get(timeout=TIMEOUT_S)
        one.set_batch(one.batch.model_copy(update={"size": 4}))
        device.push(one, 1, 2, 3, 4)
        device.done.get(timeout=TIMEOUT_S)
    assert compiled.batches == [2, 4]


def test_batches_that_ran_are_counted_by_the_items_in_them_and_items_when_they_were_made():
    one = module(FakeCompiled(), size=4)
    with Device(one) as device:
        device.push(one, 1, 2, 3, 4)
        device.done.get(timeout=TIMEOUT_S)
        device.push(one, 1)
        device.done.get(timeout=TIMEOUT_S)
        device.push(one, 1)
        device.done.get(timeout=TIMEOUT_S)
    counted = one.lane.batches
    assert {size: count for size, (count, _) in counted.items()} == {4: 1, 1: 2}
    assert all(seconds > 0 for _, seconds in counted.values())
    assert one.arrived == 6


def test_a_batch_that_failed_is_not_counted_as_one_that_ran():
    def answer(batch):
        raise RuntimeError("I like nothing")

    one = module(FakeCompiled(answer), size=2)
    with Device(one) as device:
        device.push(one, 1, 2)
        for _ in range(2):
            device.done.get(timeout=TIMEOUT_S)
    assert one.lane.batches == {}
    assert one.arrived == 2


def test_after_a_slow_moment_frames_run_again_although_the_estimate_said_they_could_not():
    """The estimate of 1 s would drop every frame of 0.1 s for ever, and nothing would run that could put it right."""
    compiled = FakeCompiled()
    one = module(compiled)
    one.lane.latency = LatencyModel.measured([(1, 1.0)])
    with Device(one) as device:
        while compiled.batches == []:
            device.push(one, 1, deadline=device.thread.heartbeat + 0.1, arrived_at=device.thread.heartbeat)
            eventually(lambda: one.queued == 0)


def test_the_lane_with_the_highest_priority_runs_first_whatever_its_service_used():
    order = []

    def named(name):
        return module(FakeCompiled(lambda batch: order.append(name) or (batch[:, :2, 0, 0],)), service=f"s/{name}")

    low, high = named("low"), named("high")
    device = Device(low, high)
    for _ in range(3):
        device.push(low, 1, priority=10)
        device.push(high, 1, priority=90)
    with device:
        for _ in range(2):
            device.done.get(timeout=TIMEOUT_S)
    assert order[0] == "high"


def test_loading_ends_even_when_there_is_always_a_batch_due():
    one = module(FakeCompiled(), size=1)
    with Device(one) as device:
        stop = threading.Event()

        def keep_busy() -> None:
            while not stop.is_set():
                device.push(one, 1)
                device.done.get(timeout=TIMEOUT_S)

        busy = threading.Thread(target=keep_busy)
        busy.start()
        loading = Loading((None for _ in range(50)), device.thread.heartbeat)
        device.thread.load(loading)
        loading.done.result(TIMEOUT_S)
        stop.set()
        busy.join(TIMEOUT_S)


def test_a_candidate_that_raises_fails_its_own_loading_only():
    def steps():
        yield
        raise ValueError("bad weights")

    one = module()
    with Device(one) as device:
        loading = Loading(steps(), 0.0)
        device.thread.load(loading)
        with pytest.raises(ValueError, match="bad weights"):
            loading.done.result(TIMEOUT_S)
        device.push(one, 7)
        assert not isinstance(device.done.get(timeout=TIMEOUT_S).outputs, Exception)


def test_a_cancelled_loading_is_closed_on_the_device_thread():
    closed_on = []

    def steps():
        try:
            while True:
                yield
        finally:
            closed_on.append(threading.current_thread().name)

    with Device() as device:
        loading = Loading(steps(), 0.0)
        device.thread.load(loading)
        eventually(lambda: loading.spent_s > 0)
        loading.cancelled = True
        eventually(loading.done.cancelled)
    assert closed_on == ["device"]


def test_a_batch_that_cannot_be_prepared_costs_only_itself():
    """Pictures of different sizes cannot become one batch; what ran before is handed on all the same."""
    one = module(FakeCompiled(), size=2)
    with Device(one) as device:
        device.push(one, 1, 2)
        node = graph(one).nodes[0]
        lane = one.enter(1)
        even = prepare(frame().image, None, lane.version.spec.input)
        odd = Prepared(np.zeros((3, 5), np.uint8), even.transform, even.source)
        lane.push([Item(journey(frame(9), graph(one)), node, 0, odd, 1e12, 0.0, 0.0)])
        device.push(one, 3, 4)
        results: list[BatchDone] = []
        while sum(len(done.items) for done in results) < 5:
            results.append(device.done.get(timeout=TIMEOUT_S))
        assert device.thread.alive
    failed = [done.items for done in results if isinstance(done.outputs, Exception)]
    assert [[item.prepared for item in items] for items in failed] == [[odd]]


def test_what_the_machine_stood_still_for_is_not_held_against_whoever_ran_then():
    now = [100.0]
    first, second = module(FakeCompiled(), service="s/first"), module(FakeCompiled(), service="s/second")
    device = DeviceThread(torch.device("cpu"), one_by_one(lambda _: None), lambda _: None, clock=lambda: now[0])
    device.set_modules((first, second))

    def part(of) -> Part:
        return Part(of, of.lane, [None])

    device._shares.look(["s/first", "s/second"], ["s/first", "s/second"])
    device._charge(now[0], [(part(first), 60.0)])
    usual_s = first.lane.latency.seconds(1)
    # By then the other one has had what counts of it.
    device._charge(now[0], [(part(second), STOOD_STILL * usual_s)])
    assert device._shares.turn("s/first") == pytest.approx(device._shares.turn("s/second"))
    assert device.used_s == pytest.approx({"s/first": 60.0, "s/second": STOOD_STILL * usual_s}), "accounts are in full"

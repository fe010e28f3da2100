"""When what runs is changed: by a simulated device with the real batcher."""

from __future__ import annotations

from itertools import pairwise

import pytest

from framepilot.contract.desired import Batch
from framepilot_operator.tuning.policy import REST_S, Change, Keep
from support.simulated_device import SimulatedDevice, linear_ms, service
from support.snapshots import SERVICE

STEP = 1060.0


def after(step: float, before: float, then: float):
    return lambda at: before if at < step else then


def settled(device: SimulatedDevice) -> SimulatedDevice:
    """It ran for a minute, and nobody had a reason to change anything lately."""
    device.run(STEP - device.now)
    device.changes.clear()
    return device


def adapted(device: SimulatedDevice, every: float = 1.0) -> list[int]:
    """The sizes that came into force within ten seconds from the step; none did later."""
    device.run(60, every)
    assert device.changes
    assert all(at <= STEP + 10 for at, _ in device.changes)
    assert len(device.changes) <= 2
    return [size for _, size in device.changes]


def test_noise_changes_nothing():
    device = SimulatedDevice(noise=0.05)
    device.run(20)
    device.changes.clear()
    device.run(1000)
    assert not device.changes
    assert {decision.reason for decision in device.decisions[-1000:]} == {"nothing else would be better"}


@pytest.mark.parametrize("every", [1.0, 2.0])
def test_where_batches_take_much_longer_they_become_smaller(every):
    device = settled(SimulatedDevice(service("100ms"), slow=after(STEP, 1.0, 3.5)))
    before = device.told.size
    assert adapted(device, every)[-1] < before
    (planned,) = device.decisions[-1].plans[SERVICE].modules
    assert planned.tuning == "batches take over 3 times as long as alone on the device"


@pytest.mark.parametrize("every", [1.0, 2.0])
def test_when_it_is_alone_again_what_ran_before_comes_back(every):
    device = SimulatedDevice(service("100ms"), slow=lambda at: 3.5 if 1030 <= at < STEP else 1.0)
    device.run(28)
    before = device.told
    device.run(STEP - device.now)
    assert device.told.size < before.size
    device.changes.clear()
    assert adapted(device, every)[-1] == before.size
    assert device.told == before
    assert device.decisions[-1].plans[SERVICE].modules[0].tuning == ""


@pytest.mark.parametrize("every", [1.0, 2.0])
def test_ten_times_the_load_that_batches_as_they_are_cannot_serve_makes_them_larger(every):
    device = settled(SimulatedDevice(service(latency="300ms", streams=1), fps=after(STEP, 20.0, 200.0)))
    before = device.told.size
    assert adapted(device, every)[-1] > before
    assert device.busy_s > 0


def test_something_else_on_the_device_that_the_driver_tells_of_is_believed_at_once_and_said():
    silent = settled(SimulatedDevice(service("100ms"), slow=after(STEP, 1.0, 3.5)))
    told = SimulatedDevice(service("100ms"), slow=after(STEP, 1.0, 3.5), others=after(STEP, 0.0, 0.6))
    told = settled(told)
    adapted(silent)
    adapted(told)
    assert told.changes[0][0] < silent.changes[0][0]
    (planned,) = told.decisions[-1].plans[SERVICE].modules
    assert planned.tuning is not None
    assert planned.tuning.endswith("something else uses the device")


def test_one_hiccup_of_the_machine_changes_nothing():
    device = settled(SimulatedDevice(slow=lambda at: 4.0 if STEP <= at < STEP + 1 else 1.0))
    device.run(30)
    assert not device.changes


def test_no_module_is_changed_more_often_than_it_may_be():
    device = SimulatedDevice(service("100ms"), slow=lambda at: 1.0 if at // 4 % 2 else 3.5)
    device.run(200)
    times = [at for at, _ in device.changes]
    assert len(times) > 2
    assert all(later - earlier >= REST_S for earlier, later in pairwise(times))


def test_an_operator_that_starts_anew_leaves_what_runs_until_it_knows_the_device():
    device = settled(SimulatedDevice(service("100ms"), slow=lambda at: 3.5 if at > 1020 else 1.0))
    told = device.told
    alone = settled(SimulatedDevice(service("100ms"))).told
    assert told != alone
    device.memory = None
    first = device.look()
    assert isinstance(first, Keep)
    (planned,) = first.plans[SERVICE].modules
    assert planned.tuning is None
    device.run(120)
    assert not device.changes
    assert device.told == told


def test_one_that_found_something_bad_changes_it_once_it_knows_the_device():
    device = SimulatedDevice(fps=lambda _: 120.0, told=Batch(size=1, limit=32, max_wait_ms=0))
    device.serve(device.now + 30)
    assert isinstance(device.look(), Keep)
    device.run(30)
    assert device.told.size > 1


def test_frames_that_nothing_moves_in_are_no_demand():
    moving, still = SimulatedDevice(), SimulatedDevice(still=9)
    for device in (moving, still):
        device.run(60)
        assert device.memory is not None
    assert still.frames == 10 * moving.frames
    assert [each.rate for each in still.memory.arrivals.values()] == [
        each.rate for each in moving.memory.arrivals.values()
    ]
    assert still.told == moving.told


def test_what_is_declared_is_followed_at_once():
    device = settled(SimulatedDevice(fps=lambda _: 120.0))
    device.service = service(max=2)
    decision = device.look()
    assert isinstance(decision, Change)
    assert decision.plans[SERVICE].modules[0].batch.limit == 2
    device.service = service(max=8)
    assert isinstance(device.look(), Change)


def test_a_version_that_is_slower_is_planned_for_from_its_own_profile_at_once():
    device = settled(SimulatedDevice(service("100ms")))
    before = device.told.size
    device.swap(lambda size: 3.5 * linear_ms(size), "b" * 64)
    assert isinstance(device.look(), Change)
    assert device.told.size < before


def test_nothing_that_holds_the_objective_is_said_with_the_nearest_that_would_and_not_changed_again_and_again():
    device = settled(SimulatedDevice(service(latency="50ms"), slow=after(STEP, 1.0, 8.0), fps=lambda _: 20.0))
    device.run(60)
    assert len(device.changes) <= 2
    plan = device.decisions[-1].plans[SERVICE]
    assert plan.feasible is False
    assert plan.needed_ms is not None
    assert plan.needed_ms > 50


def test_a_clock_that_is_set_back_or_forward_changes_nothing():
    for hours in (-3600.0, 3600.0):
        device = settled(SimulatedDevice())
        jump = replace_clock(device, hours)
        device.run(30)
        assert not device.changes, jump


def replace_clock(device: SimulatedDevice, seconds: float) -> float:
    device.now += seconds
    device.next_arrival += seconds
    device.waiting = [at + seconds for at in device.waiting]
    return seconds

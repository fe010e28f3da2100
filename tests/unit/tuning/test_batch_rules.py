"""The rules that the tuner is compared with do what their sources say."""

from __future__ import annotations

import math

from benchmarks.batch_rules import Clipper, Regression
from framepilot.scheduling.batcher import BatchPolicy, Drop, Run, Waiting, WaitUntil
from framepilot.scheduling.latency import LatencyModel
from support.simulated_device import SimulatedDevice, linear_ms, service

ANY = (LatencyModel.measured([(1, 1.0)]), BatchPolicy((1,), 0.0))


def waiting(*ages_s: float, objective_s: float = 0.2) -> Waiting:
    return Waiting([-age for age in ages_s], [objective_s - age for age in ages_s], [False] * len(ages_s))


def test_clippers_cap_rises_by_one_with_full_batches_and_falls_by_a_tenth_above_the_objective() -> None:
    device = SimulatedDevice(service("200ms"))
    Clipper(device)
    for size in range(1, 12):
        device.ran(size, 0.1)
    assert device.told.size == 12
    device.ran(3, 0.1)
    assert device.told.size == 12
    device.ran(12, 0.3)
    assert device.told.size == 10


def test_the_regression_learns_what_a_batch_takes_and_refuses_who_would_be_late() -> None:
    device = SimulatedDevice(service("200ms"))
    rule = Regression(device)
    for size in (1, 4, 8, 2):
        device.now += 10
        device.ran(size, linear_ms(size) / 1000)
    # Ten items take 28 ms: in time for one that has waited for 170 ms, too late for one that has for 175.
    assert rule._decide(waiting(0.170, *[0.05] * 9), 0.0, *ANY) == Run(10)
    assert rule._decide(waiting(0.175, *[0.05] * 9), 0.0, *ANY) == Drop((0,))


def test_the_regression_holds_a_batch_back_while_batches_have_lately_waited_for_longer() -> None:
    device = SimulatedDevice(service("200ms"))
    rule = Regression(device)
    device.ran(1, 0.010)
    for _ in range(3):
        device.now += 10
        assert rule._decide(waiting(0.1), 0.0, *ANY) == Run(1)
        device.ran(1, 0.010)
    held = rule._decide(waiting(0.0), 0.0, *ANY)
    assert isinstance(held, WaitUntil)
    assert 0.04 < held.time < 0.1
    assert rule._decide(waiting(), 0.0, *ANY) == WaitUntil(math.inf)

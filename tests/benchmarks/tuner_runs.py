"""One rule for batches on one simulated device in one scenario: what is compared, and what time-lines are of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

from benchmarks.batch_rules import Clipper, Regression
from benchmarks.tuner_scenarios import LENGTH_S, START, STEP_S, Profile, Scenario
from framepilot.contract.desired import Batch
from framepilot_operator.planning.plan import ServicePlan
from framepilot_operator.planning.planner import plan
from framepilot_operator.planning.profile import from_observed
from framepilot_operator.planning.rates import ItemRate
from framepilot_operator.planning.usable import ENOUGH
from framepilot_operator.tuning.fit import scaled
from support.simulated_device import SimulatedDevice, service
from support.snapshots import SERVICE, module

TUNER: Final = "tuner"
CLIPPER: Final = "Clipper"
REGRESSION: Final = "regression"
THEN: Final = " then "
"""Between two sizes: the first while batches take what they do alone, the other while they take longer."""


@dataclass(frozen=True)
class Run:
    """`changes`: seconds since the start, and the size from then on."""

    attainment: float
    device_ms: float
    changes: tuple[tuple[float, int], ...]


def run(profile: Profile, scenario: Scenario, rule: str, seed: int) -> Run:
    """What came of it. `rule` is the name of one, a fixed size, or two of them with `THEN` between."""
    *_, device = played(profile, scenario, rule, seed)
    objective_s = profile.objective_ms / 1000
    in_time = sum(latency <= objective_s for latency in device.latencies_s)
    return Run(
        in_time / len(device.latencies_s),
        device.busy_s * 1000 / device.served,
        tuple((at - START, size) for at, size in device.changes),
    )


def played(profile: Profile, scenario: Scenario, rule: str, seed: int) -> Iterator[SimulatedDevice]:
    """The device, after each second."""
    device = simulated(profile, scenario, seed)
    if rule == CLIPPER:
        Clipper(device)
    elif rule == REGRESSION:
        Regression(device)
    elif rule == TUNER:
        device.look()
    else:
        device.told = _batch(device, int(rule.partition(THEN)[0]))
    swapped = False
    while device.now < START + LENGTH_S:
        device.serve(device.now + 1.0)
        if not swapped and scenario.swapped != 1 and device.now >= START + STEP_S:
            device.swap(lambda size: scenario.swapped * profile.ms(size), "b" * 64)
            swapped = True
        if rule == TUNER:
            device.look()
        elif THEN in rule:
            times = device.slow(device.now)
            alone, slower = map(int, rule.split(THEN))
            device.told = _batch(device, slower if swapped or times > 1 else alone, times)
        yield device


def simulated(profile: Profile, scenario: Scenario, seed: int) -> SimulatedDevice:
    return SimulatedDevice(
        service(f"{profile.objective_ms}ms", max=profile.largest),
        slow=lambda at: scenario.slow(at - START),
        alone_ms=profile.ms,
        random=Random(seed),
        largest=profile.largest,
        arrivals=scenario.arrivals(profile, Random(-seed)),
        told=Batch(size=1, limit=profile.largest),
        now=START,
    )


def _batch(device: SimulatedDevice, size: int, times: float = 1.0) -> Batch:
    return fixed(device, size, times).modules[0].batch


def fixed(device: SimulatedDevice, size: int, times: float = 1.0) -> ServicePlan:
    """A size with the wait that the planner gives it, where batches take so many times as long as its profile says.

    It knows that nothing is done before and after them.
    """
    declared = service(f"{device.service.spec.objective.latency_ms:g}ms", mode="Fixed", size=size, max=device.largest)
    profile, key = from_observed(device.state().modules[0].profile), (SERVICE, "face")
    assert profile is not None
    running = {SERVICE: {"face": module(items=ENOUGH)}}
    return plan([declared], {key: scaled(profile, {profile.largest: times})}, {}, {key: ItemRate(1.0)}, running)[
        SERVICE
    ]

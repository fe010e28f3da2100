"""Plans in simulated time: predictions that hold, joins, fan-out, seeds, and plans that are refuted."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_operator.planning.allocation import Instance, ModuleAllocation, WorkloadPlan
from framepilot_operator.planning.simulation import arrivals
from framepilot_operator.planning.simulation.service_times import between, exact, measured
from framepilot_operator.planning.simulation.simulate import simulate
from framepilot_operator.planning.simulation.verify import Load, length_s, verified
from framepilot_operator.planning.workload import Configuration, Workload, WorkloadModule
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import plan_workload
from support.workloads import workload as seeded

GPU = Configuration("gpu", 1.0, 8, 80.0)
KINDS = (arrivals.cameras, arrivals.unsynchronised_cameras, arrivals.poisson, arrivals.bursty)


def module(name: str, rate: float, *inputs: str) -> WorkloadModule:
    return WorkloadModule(name, inputs, rate, (GPU,))


def planned(workload: Workload, budget_ms: float = 300.0) -> WorkloadPlan:
    """Enough instances of one configuration for every module."""
    allocations = []
    for each in workload.modules:
        count = math.ceil(each.rate / GPU.throughput)
        loads = [*[GPU.throughput] * (count - 1), each.rate - GPU.throughput * (count - 1)]
        instances = tuple(Instance(GPU, load) for load in loads)
        allocations.append(ModuleAllocation(each.name, each.rate, budget_ms, instances))
    return WorkloadPlan(feasible=True, cost_model="fractional", modules=tuple(allocations))


def even(rate: float, seconds: float, random: Random) -> list[float]:
    return [number / rate for number in range(int(rate * seconds))]


def simulated(workload: Workload, kind=even, seconds: float = 20.0, service_times=exact, seed: int = 1):
    return simulate(workload, planned(workload), kind, seconds, Random(seed), service_times)


@pytest.mark.parametrize("kind", KINDS)
@given(rate=st.floats(1, 400), seed=st.integers(0, 9))
def test_arrivals_are_in_order_within_their_time_and_about_as_many_as_asked_for(kind, rate, seed):
    times = kind(rate, 50.0, Random(seed))
    assert list(times) == sorted(times)
    assert all(0 <= time < 50 for time in times)
    assert 0.4 * rate * 50 - 30 <= len(times) <= 1.7 * rate * 50 + 30


def test_a_recording_is_stretched_to_the_rate():
    times = arrivals.recorded([3.0, 3.5, 5.0])(30.0, 10.0, Random(1))
    assert len(times) == pytest.approx(300, abs=1)
    assert (times[2] - times[1]) / (times[1] - times[0]) == pytest.approx(3)


@pytest.mark.parametrize("times", [[], [1.0], [2.0, 2.0]])
def test_a_recording_without_two_times_is_refused(times):
    with pytest.raises(ValueError, match="two different"):
        arrivals.recorded(times)


def test_one_saturated_instance_takes_as_long_as_predicted_less_the_request_that_need_not_be_waited_for():
    outcome = simulated(Workload(300, (module("a", 100.0),)))
    # The rule says d + b / w; the first of eight evenly spaced requests waits for seven more.
    assert outcome.modules[0].latencies.predicted_ms == pytest.approx(160)
    assert outcome.modules[0].latencies.largest_ms == pytest.approx(150)
    assert outcome.modules[0].loads == (pytest.approx(100, rel=0.01),)


def test_modules_one_after_the_other_add_up():
    outcome = simulated(Workload(300, (module("a", 100.0), module("b", 100.0, "a"))))
    assert outcome.holds
    assert outcome.end_to_end.p50_ms > max(each.latencies.p50_ms for each in outcome.modules)
    assert outcome.end_to_end.predicted_ms == pytest.approx(320)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.5])
def test_a_module_gets_as_many_requests_for_each_input_as_declared(ratio):
    outcome = simulated(Workload(600, (module("a", 90.0), module("b", 90.0 * ratio, "a"))))
    after = outcome.modules[1]
    assert sum(after.loads) - after.dummy_rate == pytest.approx(90 * ratio, rel=0.03)


def test_a_join_fires_once_for_each_set_and_waits_for_the_later_input():
    slow = Configuration("gpu", 1.0, 8, 160.0)
    modules = (module("a", 40.0), module("b", 40.0, "a"), module("c", 40.0, "a"), module("d", 40.0, "b", "c"))
    workload = Workload(5000, modules)
    plan = planned(workload, 1000.0)
    late = ModuleAllocation("c", 40.0, 1000.0, (Instance(slow, 40.0),))
    plan = WorkloadPlan(True, "fractional", modules=(*plan.modules[:2], late, plan.modules[3]))
    outcome = simulate(workload, plan, even, 20.0, Random(1))
    join = outcome.modules[3]
    assert sum(join.loads) - join.dummy_rate == pytest.approx(40, rel=0.02)
    # Every request has been through `c`, the slower way: three rounds, one of which takes 160 ms.
    assert outcome.end_to_end.p50_ms >= 80 + 160 + 80


def test_the_same_seed_gives_the_same_outcome_and_another_seed_another():
    workload = Workload(300, (module("a", 90.0),))
    spread = between(0.8, 1.0)
    one = simulated(workload, arrivals.poisson, service_times=spread)
    assert one == simulated(workload, arrivals.poisson, service_times=spread)
    assert one != simulated(workload, arrivals.poisson, service_times=spread, seed=2)


def test_batches_that_take_longer_than_planned_are_found_out():
    outcome = simulated(Workload(200, (module("a", 100.0),)), service_times=measured([1.3]), seconds=120.0)
    assert not outcome.holds


@pytest.mark.parametrize(("p50", "p99"), [(0, 1), (2, 1)])
def test_a_spread_that_is_none_is_refused(p50, p99):
    with pytest.raises(ValueError, match="spread"):
        between(p50, p99)


@pytest.mark.parametrize("seed", range(8))
def test_a_verified_plan_holds_in_simulation_and_costs_no_less_than_the_optimum(seed):
    workload = read_workload(seeded(seed, modules=3))
    cheapest = plan_workload(workload, "fractional", lambda: 0.0)
    verdict = verified(workload, lambda each: plan_workload(each, "fractional", lambda: 0.0), Load())
    if verdict.plan.feasible:
        assert verdict.outcome is not None
        assert verdict.outcome.holds
        assert verdict.plan.cost >= cheapest.cost * (1 - 1e-9)
        assert [each.rate for each in verdict.plan.modules] == [each.rate for each in workload.modules]
    else:
        assert "refutes" in verdict.plan.reason


def test_a_module_whose_requests_come_together_gets_what_the_bunch_needs_and_no_other_module_does():
    workload = read_workload(seeded(50, "diamond"))
    verdict = verified(workload, lambda each: plan_workload(each, "fractional", lambda: 0.0), Load())
    assert verdict.plan.feasible
    assert verdict.outcome is not None
    assert verdict.outcome.holds
    assert set(verdict.margins) == {"m4", "m5"}
    assert "m5 +" in (verdict.plan.reason or "")
    assert verdict.repairs > 0


def test_a_plan_that_nothing_repairs_is_refused_with_the_reason():
    workload = Workload(170, (module("a", 100.0),))
    load = Load(service_times=measured([3.0]))
    verdict = verified(workload, lambda each: plan_workload(each, "fractional", lambda: 0.0), load)
    assert not verdict.plan.feasible
    assert "refutes every plan" in (verdict.plan.reason or "")


def test_a_workload_of_too_many_requests_is_planned_but_not_simulated():
    assert length_s(Workload(1000, (module("a", 1e8),))) is None
    assert length_s(Workload(1000, (module("a", 100.0),))) == 20

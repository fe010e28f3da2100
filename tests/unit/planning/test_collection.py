"""The rule by which a batch waits for the others than its first request only: plans that hold, and are the optimum."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from framepilot_operator.planning.allocation import CostModel
from framepilot_operator.planning.optimum_planner import plan_optimum
from framepilot_operator.planning.simulation.simulate import simulate
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import least_latency_ms, plan_workload
from support.checked_plan import checked, planned
from support.workloads import GRAPHS, workload


def others(document: dict[str, Any], share: float = 1.0) -> dict[str, Any]:
    """The same under the rule, with a share of the objective: half of it holds what the other rule just holds."""
    return document | {"collection": "others", "objective_ms": float(document["objective_ms"]) * share}


def one(objective_ms: float, rate: float, *configurations: tuple[int, float]) -> dict[str, Any]:
    """A module on one device class, with batches and their durations."""
    listed = [{"device": "t4", "price": 1.0, "batch": size, "latency_ms": each} for size, each in configurations]
    return {"objective_ms": objective_ms, "modules": [{"name": "a", "rate": rate, "configurations": listed}]}


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(GRAPHS),
    st.integers(1, 6),
    st.floats(0.5, 1.0),
    st.sampled_from(["fractional", "whole"]),
)
def test_every_plan_passes_the_checker(
    seed: int, graph: str, modules: int, share: float, cost_model: CostModel
) -> None:
    document = others(workload(seed, graph, modules), share)
    assume(least_latency_ms(read_workload(document)) <= document["objective_ms"])
    plan = checked(document, cost_model)
    assert plan.bound is not None
    assert plan.cost is not None
    assert plan.bound <= plan.cost * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GRAPHS), st.integers(1, 4), st.floats(0.5, 1.0))
def test_a_plan_that_is_complete_costs_what_the_optimum_costs(
    seed: int, graph: str, modules: int, share: float
) -> None:
    read = read_workload(others(workload(seed, graph, modules), share))
    ours, optimum = plan_workload(read, "fractional", lambda: 0.0), plan_optimum(read, "fractional", lambda: 0.0)
    assert ours.feasible == optimum.feasible
    assume(ours.feasible and optimum.complete)
    if ours.complete:
        assert ours.cost == pytest.approx(optimum.cost, rel=2e-6)
    assert ours.bound is not None
    assert optimum.cost is not None
    assert ours.bound <= optimum.cost * (1 + 1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GRAPHS), st.integers(1, 6))
def test_it_never_costs_more_than_to_wait_for_all(seed: int, graph: str, modules: int) -> None:
    document = workload(seed, graph, modules)
    fewer, every = planned(others(document)), planned(document)
    if fewer.complete and every.complete:
        assert fewer.cost is not None
        assert every.cost is not None
        assert fewer.cost <= every.cost * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_batches_of_one_wait_for_nothing_and_take_no_dummies(seed: int) -> None:
    document: dict[str, Any] = workload(seed, "chain", 3)
    for module in document["modules"]:
        module["configurations"] = [each for each in module["configurations"] if each["batch"] == 1]
    shortest = sum(min(each["latency_ms"] for each in module["configurations"]) for module in document["modules"])
    plan = checked(document | {"collection": "others", "objective_ms": shortest * (1 + 1e-9)})
    assert plan.complete
    assert plan.latency_ms == pytest.approx(shortest)
    assert all(module.dummy_rate == pytest.approx(0, abs=1e-9) for module in plan.modules)
    assert plan.cost == pytest.approx(
        sum(
            min((each["latency_ms"], each["price"] * each["latency_ms"] / 1000) for each in module["configurations"])[1]
            * module["rate"]
            for module in document["modules"]
        )
    )


def test_a_batch_of_one_beside_larger_ones_does_not_hide_for_how_long_those_wait() -> None:
    # Within 25 ms a batch of 4 has 5 ms for 3 arrivals: 600 per second must be left for its instance.
    plan = checked(others(one(25.0, 250.0, (1, 10.0), (4, 20.0))))
    assert plan.complete
    assert {each.configuration.batch for each in plan.modules[0].instances} == {1}
    assert checked(others(one(25.0, 1000.0, (1, 10.0), (4, 20.0)))).modules[0].instances[0].configuration.batch == 4


def test_an_objective_between_the_least_latencies_of_both_rules_holds_with_the_shorter_wait_only() -> None:
    document = one(18.0, 50.0, (4, 10.0), (8, 14.0))
    every = planned(document)
    assert not every.feasible
    assert every.nearest_feasible is not None
    assert every.nearest_feasible.objective_ms == pytest.approx(20)
    assert checked(others(document)).latency_ms == pytest.approx(18)
    still = planned(others(document, 0.9))
    assert not still.feasible
    assert still.nearest_feasible is not None
    assert still.nearest_feasible.objective_ms == pytest.approx(17.5)


@pytest.mark.parametrize("batch", [1, 2, 8, 32])
def test_a_saturated_instance_takes_in_simulation_just_what_is_predicted(batch: int) -> None:
    rate = 1000.0 * batch / 40.0
    read = read_workload(others(one(90.0, rate, (batch, 40.0))))
    plan = plan_workload(read, "fractional", lambda: 0.0)

    def even(_rate: float, _seconds: float, _random: Random) -> list[float]:
        return [number / rate for number in range(100 * batch)]

    outcome = simulate(read, plan, even, 100 * batch / rate, Random(1))
    assert outcome.end_to_end.predicted_ms == pytest.approx(40 + 40 * (batch - 1) / batch)
    assert outcome.end_to_end.largest_ms == pytest.approx(outcome.end_to_end.predicted_ms)

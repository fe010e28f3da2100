"""Planning again: what runs is kept as far as it is good enough, whatever changes, and the plan holds."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.moves import Moves, Place, Running, by_rank, instances_of, moved, shape_moves
from framepilot_operator.planning.plan_document import plan_document
from framepilot_operator.planning.previous_file import parse_previous
from framepilot_operator.planning.replan import HYSTERESIS, replan
from framepilot_operator.planning.workload import Configuration, Workload, WorkloadModule, ranked, without
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import plan_workload
from support.checked_plan import accepted
from support.exhaustive import counts_cost
from support.workloads import GRAPHS, workload

COST_MODELS = ("fractional", "whole")


def clock() -> float:
    return 0.0


def drifted(document: dict[str, Any], seed: int, most: float) -> dict[str, Any]:
    rng = random.Random(seed)
    modules = [each | {"rate": each["rate"] * (1 + rng.uniform(-most, most))} for each in document["modules"]]
    return document | {"modules": modules}


def checked(document: dict[str, Any], running: Running, cost_model: CostModel) -> tuple[WorkloadPlan, WorkloadPlan]:
    """The plan made again, which is within the hysteresis and moves no more than that made anew; and that one."""
    one = read_workload(document)
    plan, anew = accepted(document, replan(one, running, cost_model, clock)), plan_workload(one, cost_model, clock)
    assert plan.cost is not None
    assert anew.cost is not None
    assert plan.cost <= anew.cost * (1 + HYSTERESIS)
    assert sum(moved(running, plan)) <= sum(moved(running, anew))
    return plan, anew


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(GRAPHS),
    st.integers(1, 6),
    st.sampled_from(COST_MODELS),
    st.sampled_from([0.02, 0.2, 0.6]),
)
def test_whatever_the_rates_become_the_plan_holds_costs_little_more_and_moves_no_more(
    seed: int, graph: str, modules: int, cost_model: CostModel, change: float
) -> None:
    document = workload(seed, graph, modules)
    running = instances_of(plan_workload(read_workload(document), cost_model, clock))
    for step in range(3):
        document = drifted(document, seed + step, change)
        plan, _ = checked(document, running, cost_model)
        running = instances_of(plan)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GRAPHS), st.integers(1, 6), st.sampled_from(COST_MODELS))
def test_the_same_workload_moves_nothing_also_when_the_plan_was_read_from_its_document(
    seed: int, graph: str, modules: int, cost_model: CostModel
) -> None:
    one = read_workload(workload(seed, graph, modules))
    first = plan_workload(one, cost_model, clock)
    (running,) = parse_previous(json.dumps(plan_document(first, 0.0)))
    assert running == instances_of(first)
    again = replan(one, running, cost_model, clock)
    assert moved(running, again) == Moves(0, 0)
    assert again.cost == pytest.approx(first.cost, rel=1e-6)
    assert "no change" in str(again.reason)


def test_rates_that_drift_a_little_move_far_fewer_instances_than_plans_made_anew() -> None:
    again = anew = 0
    for seed in range(12):
        document: dict[str, Any] = workload(seed)
        kept = fresh = instances_of(plan_workload(read_workload(document), "fractional", clock))
        for step in range(4):
            document = drifted(document, 100 * seed + step, 0.05)
            plan, best = checked(document, kept, "fractional")
            again += sum(moved(kept, plan))
            anew += sum(moved(fresh, best))
            kept, fresh = instances_of(plan), instances_of(best)
    assert 5 * again <= anew


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.7, 1.4))
def test_of_one_module_no_plan_within_the_hysteresis_moves_fewer(seed: int, factor: float) -> None:
    one = small(seed)
    running = instances_of(plan_workload(one, "fractional", clock))
    (module,) = one.modules
    changed = replace(one, modules=(replace(module, rate=module.rate * factor),))
    plan, anew = replan(changed, running, "fractional", clock), plan_workload(changed, "fractional", clock)
    assert anew.cost is not None
    moves = sum(moved(running, plan))
    before = by_rank(running, module)
    for counts in fewer(before, len(module.configurations), moves):
        assert cost(changed, counts) > anew.cost * (1 + HYSTERESIS)


def small(seed: int) -> Workload:
    """One module on three configurations."""
    rng = random.Random(seed)
    one = read_workload(workload(seed, modules=1))
    (module,) = one.modules
    few = tuple(module.configurations[rank] for rank in sorted(rng.sample(range(4), 3)))
    objective_ms = rng.uniform(1.01, 4.0) * 2 * min(each.latency_ms for each in few)
    rate = rng.uniform(0.2, 4.0) * few[0].throughput
    return Workload(objective_ms, (replace(module, rate=rate, configurations=few),))


def fewer(before: dict[int, int], configurations: int, moves: int) -> list[tuple[int, ...]]:
    """All counts of instances that are fewer moves away."""
    spans = [range(max(before.get(rank, 0) - moves, 0), before.get(rank, 0) + moves) for rank in range(configurations)]
    every = (counts for counts in itertools.product(*spans) if any(counts))
    return [counts for counts in every if shape_moves(before, dict(enumerate(counts))) < moves]


def cost(one: Workload, counts: tuple[int, ...]) -> float:
    """What instances cost with the whole objective."""
    last = max(rank for rank, count in enumerate(counts) if count)
    saturated = [count - (rank == last) for rank, count in enumerate(counts)]
    return counts_cost(one.modules[0], saturated, last, one.objective_ms)


@pytest.mark.parametrize("cost_model", COST_MODELS)
@pytest.mark.parametrize("seed", range(20))
def test_of_a_lost_device_all_moves_and_of_the_others_no_more_than_in_a_plan_made_anew(
    seed: int, cost_model: CostModel
) -> None:
    document: dict[str, Any] = workload(seed)
    one = read_workload(document)
    running = instances_of(plan_workload(one, cost_model, clock))
    used = sorted({place.device for place in running})
    device = used[seed % len(used)]
    left = without(one, [device])
    plan = replan(left, running, cost_model, clock)
    if not plan.feasible:
        assert plan == plan_workload(left, cost_model, clock)
        return
    documents = [
        each | {"configurations": [c for c in each["configurations"] if c["device"] != device]}
        for each in document["modules"]
    ]
    checked(document | {"modules": documents}, running, cost_model)
    assert all(place.device != device for place in instances_of(plan))
    lost = sum(count for place, count in running.items() if place.device == device)
    assert moved(running, plan).stopped >= lost
    assert f"{lost} of the instances that ran have no configuration any more" in str(plan.reason)


def two_devices(objective_ms: float) -> Workload:
    """Two modules; the first runs best on d0, the second on d1, and each could be on the other."""
    d0, d1 = Configuration("d0", 1.0, 4, 20.0), Configuration("d1", 1.0, 4, 20.0)
    slow = replace(d1, latency_ms=40.0)
    first = WorkloadModule("a", (), 300.0, ranked([d0, slow]))
    return Workload(objective_ms, (first, WorkloadModule("b", ("a",), 300.0, ranked([d1, replace(slow, device="d0")]))))


def test_when_a_device_class_is_lost_what_runs_elsewhere_stays() -> None:
    one = two_devices(400.0)
    running = instances_of(plan_workload(one, "fractional", clock))
    assert running == Running({Place("a", "d0", 4): 2, Place("b", "d1", 4): 2})
    plan = replan(without(one, ["d0"]), running, "fractional", clock)
    assert instances_of(plan) == Running({Place("a", "d1", 4): 3, Place("b", "d1", 4): 2})
    assert moved(running, plan) == Moves(started=3, stopped=2)


def test_where_nothing_holds_the_objective_without_a_device_class_the_plan_says_what_would_do() -> None:
    one = two_devices(100.0)
    running = instances_of(plan_workload(one, "fractional", clock))
    plan = replan(without(one, ["d0"]), running, "fractional", clock)
    assert not plan.feasible
    assert plan.nearest_feasible is not None
    assert plan.nearest_feasible.objective_ms == pytest.approx(120.0)
    assert moved(running, plan) == Moves(0, 0)


def test_modules_that_are_left_with_no_configuration_are_named() -> None:
    plan = replan(without(two_devices(400.0), ["d0", "d1"]), Running(), "whole", clock)
    assert not plan.feasible
    assert "'a', 'b' can run on nothing" in str(plan.reason)


def test_what_ran_of_other_modules_and_configurations_stops_and_the_rest_counts() -> None:
    one = two_devices(400.0)
    running = Running({Place("a", "d0", 4): 2, Place("a", "d0", 64): 1, Place("gone", "d0", 4): 5})
    plan = replan(one, running, "fractional", clock)
    assert moved(running, plan) == Moves(started=2, stopped=6)


def test_what_runs_is_kept_although_a_plan_is_a_little_cheaper_and_not_when_it_is_much_cheaper() -> None:
    def offered(price: float) -> tuple[Workload, Running]:
        old, new = Configuration("old", 1.0, 4, 20.0), Configuration("new", price, 4, 20.0)
        module = WorkloadModule("a", (), 300.0, ranked([old, new]))
        return Workload(400.0, (module,)), Running({Place("a", "old", 4): 2})

    one, running = offered(0.97)
    kept = replan(one, running, "fractional", clock)
    assert moved(running, kept) == Moves(0, 0)
    assert "no change; it costs 3.09% more than the cheapest plan, which would start 2 and stop 2" in str(kept.reason)
    one, running = offered(0.9)
    assert moved(running, replan(one, running, "fractional", clock)) != Moves(0, 0)
    assert moved(running, replan(one, running, "fractional", clock, hysteresis=0.2)) == Moves(0, 0)


def test_a_tenant_that_runs_on_another_modules_instance_stays_there() -> None:
    def document(rate: float) -> dict[str, Any]:
        small = {"device": "t4", "price": 1.0, "batch": 4, "latency_ms": 10.0}
        return {
            "objective_ms": 400.0,
            "modules": [{"name": name, "rate": rate, "configurations": [small]} for name in "abc"],
        }

    # By itself the planner lets 'b' and 'c' be tenants of 'a'.
    running = Running({Place("c", "t4", 4): 1, Place("a", "t4", 4, "c"): 1, Place("b", "t4", 4, "c"): 1})
    plan, _ = checked(document(20.0), running, "whole")
    assert instances_of(plan) == running
    # Two are all that an instance can do of these.
    plan, _ = checked(document(150.0), running, "whole")
    assert instances_of(plan) == Running({Place("c", "t4", 4): 1, Place("a", "t4", 4, "c"): 1, Place("b", "t4", 4): 1})

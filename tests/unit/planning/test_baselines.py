"""Baselines: each makes real plans, no cheaper than the optimum, by rules that can be told apart."""

from __future__ import annotations

import json

import pytest

from framepilot_operator.planning.allocation import module_latency_ms
from framepilot_operator.planning.baselines.clipper import clipper
from framepilot_operator.planning.baselines.draft import budgets_by_weight
from framepilot_operator.planning.baselines.harpagon import Parts, allocate, harpagon, harpagon_with
from framepilot_operator.planning.baselines.inferline import inferline
from framepilot_operator.planning.baselines.nexus import nexus
from framepilot_operator.planning.baselines.scrooge import scrooge
from framepilot_operator.planning.plan_document import plan_document
from framepilot_operator.planning.workload import Configuration, Workload, WorkloadModule, ranked
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import plan_workload
from support.plan_checker import problems
from support.workloads import workload as seeded

BASELINES = {"nexus": nexus, "scrooge": scrooge, "inferline": inferline, "clipper": clipper, "harpagon": harpagon}
OFF = [Parts(**{part: False}) for part in ("dispatch", "multi_tuple", "dummies", "reassignment", "splitter")]


def clock() -> float:
    return 0.0


def checked(document, plan):
    return problems(document, json.loads(json.dumps(plan_document(plan, 1.0))))


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("cost_model", ["fractional", "whole"])
def test_plans_are_accepted_by_the_checker_and_no_cheaper_than_the_bound(seed, name, cost_model):
    document = seeded(seed)
    workload = read_workload(document)
    plan = BASELINES[name](workload, cost_model, clock)
    if plan.feasible:
        assert checked(document, plan) == []
        best = plan_workload(workload, "fractional", clock)
        assert plan.cost >= best.bound * (1 - 1e-9)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize(
    "parts", OFF, ids=lambda parts: str([name for name in parts.__slots__ if not getattr(parts, name)])
)
def test_parts_of_harpagon_that_are_left_out_leave_plans_that_are_accepted(seed, parts):
    document = seeded(seed)
    plan = harpagon_with(parts, read_workload(document), "fractional")
    if plan.feasible:
        assert checked(document, plan) == []


@pytest.mark.parametrize("name", ["harpagon", "inferline", "clipper"])
def test_whatever_is_feasible_is_planned(name):
    for seed in range(40):
        assert BASELINES[name](read_workload(seeded(seed)), "fractional", clock).feasible


@pytest.mark.parametrize("name", BASELINES)
def test_an_objective_that_nothing_holds_is_refused_with_the_nearest(name):
    workload = read_workload(seeded(1) | {"objective_ms": 0.001})
    plan = BASELINES[name](workload, "fractional", clock)
    assert not plan.feasible
    assert plan.nearest_feasible is not None


def one(rate: float, *configurations: tuple[int, float]) -> Workload:
    listed = ranked(Configuration("gpu", 1.0, batch, latency_ms) for batch, latency_ms in configurations)
    return Workload(100.0, (WorkloadModule("a", (), rate, listed),))


def batches(plan):
    return [instance.configuration.batch for instance in plan.modules[0].instances]


def test_nexus_saturates_the_batch_with_twice_its_duration_within_the_objective():
    # 16 would be cheaper, and fast enough for whole batches that go to one instance, but 2 x 60 > 100.
    workload = one(1000.0, (4, 20.0), (8, 35.0), (16, 60.0))
    assert set(batches(nexus(workload, "fractional", clock))) <= {4, 8}
    assert 16 in batches(harpagon(workload, "fractional", clock))


def test_clipper_comes_back_to_nine_tenths_of_the_batch_that_missed():
    workload = one(1000.0, (8, 40.0), (9, 45.0), (10, 55.0))
    assert set(batches(clipper(workload, "fractional", clock))) == {9}


def test_inferline_uses_one_configuration_for_each_module():
    for seed in range(20):
        plan = inferline(read_workload(seeded(seed)), "fractional", clock)
        assert all(len({each.configuration for each in module.instances}) == 1 for module in plan.modules)


def test_scrooge_uses_at_most_two():
    for seed in range(20):
        plan = scrooge(read_workload(seeded(seed)), "fractional", clock)
        assert all(len({each.configuration for each in module.instances}) <= 2 for module in plan.modules)


@pytest.mark.parametrize("budget_ms", [41.0, 60.0, 90.0, 200.0])
def test_harpagon_keeps_the_budget_of_a_module(budget_ms):
    module = one(333.0, (1, 20.0), (4, 30.0), (16, 70.0)).modules[0]
    draft = allocate(module, budget_ms, Parts())
    assert draft is not None
    assert module_latency_ms(draft.instances()) <= budget_ms * (1 + 1e-9)


def test_budgets_by_weight_never_exceed_the_objective_on_any_way():
    for seed in range(40):
        workload = read_workload(seeded(seed))
        budgets_ms = budgets_by_weight(workload)
        done: dict[str, float] = {}
        for module in workload.modules:
            done[module.name] = budgets_ms[module.name] + max((done[each] for each in module.inputs), default=0.0)
        assert max(done.values()) <= workload.objective_ms * (1 + 1e-9)

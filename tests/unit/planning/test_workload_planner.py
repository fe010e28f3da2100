"""Plans of workloads: they hold, they are the optimum where they say so, and what is unclear is said."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_operator.planning.allocation import CostModel
from support.checked_plan import checked, planned
from support.workloads import GRAPHS, workload


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GRAPHS), st.integers(1, 6), st.sampled_from(["fractional", "whole"]))
def test_every_plan_passes_the_checker(seed: int, graph: str, modules: int, cost_model: CostModel) -> None:
    plan = checked(workload(seed, graph, modules), cost_model)
    assert plan.bound is not None
    assert plan.cost is not None
    assert plan.bound <= plan.cost * (1 + 1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(1.0, 3.0))
def test_a_longer_objective_never_costs_more(seed: int, modules: int, factor: float) -> None:
    document = workload(seed, modules=modules)
    eased = document | {"objective_ms": float(str(document["objective_ms"])) * factor}
    tight, loose = planned(document), planned(eased)
    if tight.complete and loose.complete:
        assert loose.cost is not None
        assert tight.cost is not None
        assert loose.cost <= tight.cost * (1 + 1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GRAPHS), st.integers(1, 5))
def test_the_order_in_which_a_workload_is_written_changes_nothing(seed: int, graph: str, modules: int) -> None:
    document: dict[str, Any] = workload(seed, graph, modules)
    rng = random.Random(seed)
    listed = [
        each | {"configurations": rng.sample(each["configurations"], len(each["configurations"]))}
        for each in document["modules"]
    ]
    shuffled = document | {"modules": rng.sample(listed, len(listed))}
    first, second = planned(document), planned(shuffled)
    if first.complete and second.complete:
        assert first.cost == pytest.approx(second.cost, rel=1e-6)


def test_an_objective_that_nothing_holds_is_refused_with_what_would_do() -> None:
    document: dict[str, Any] = workload(3, "chain", 3)
    plan = planned(document | {"objective_ms": 0.5})
    assert not plan.feasible
    assert plan.nearest_feasible is not None
    assert plan.nearest_feasible.devices
    assert "too short" in str(plan.reason)
    eased = checked(document | {"objective_ms": plan.nearest_feasible.objective_ms * (1 + 1e-9)})
    assert eased.cost is not None


def test_rates_of_more_instances_than_anyone_has_are_refused_with_the_share_that_would_do() -> None:
    slow = {"device": "t4", "price": 1.0, "batch": 1, "latency_ms": 1000.0}

    def document(rate: float) -> dict[str, Any]:
        return {"objective_ms": 1e9, "modules": [{"name": "a", "rate": rate, "configurations": [slow]}]}

    plan = planned(document(4e6))
    assert not plan.feasible
    assert "instances" in str(plan.reason)
    assert plan.nearest_feasible is not None
    assert plan.nearest_feasible.devices == 4_000_000
    assert plan.nearest_feasible.rate_factor == pytest.approx(1 / 40)
    assert planned(document(4e6 * plan.nearest_feasible.rate_factor)).feasible
    assert not planned(document(4e6 * plan.nearest_feasible.rate_factor * 1.001)).feasible


def test_small_modules_on_one_device_class_share_an_instance() -> None:
    assert checked(three_modules(memory_mb=300.0), "whole").cost == 1.0
    assert checked(three_modules(memory_mb=500.0), "whole").cost == 2.0


def test_what_modules_have_in_common_is_on_an_instance_once() -> None:
    assert checked(three_modules(memory_mb=500.0, stem="mobilenet", stem_mb=250.0), "whole").cost == 1.0
    assert checked(three_modules(memory_mb=500.0, stem="mobilenet", stem_mb=249.0), "whole").cost == 2.0


def test_modules_that_share_an_instance_leave_a_part_of_its_memory_free() -> None:
    def cost(memory_mb: float, headroom: float | None) -> float | None:
        return checked(three_modules(memory_mb=memory_mb) | {"headroom": headroom}, "whole").cost

    assert cost(320.0, 0.0) == 1.0
    assert cost(320.0, 0.05) == 2.0
    assert cost(300.0, None) == 1.0, "a tenth, if nothing is said"
    assert cost(301.0, None) == 2.0


def three_modules(**fields: object) -> dict[str, Any]:
    """Three small ones, for a device class whose instances have 1000 MB, of which nothing has to stay free."""
    configuration = {"device": "t4", "price": 1.0, "batch": 4, "latency_ms": 10.0, **fields}
    modules = [{"name": name, "rate": 20.0, "configurations": [configuration]} for name in "abc"]
    devices = [{"device": "t4", "memory_mb": 1000.0}]
    return {"objective_ms": 400.0, "modules": modules, "devices": devices, "headroom": 0.0}

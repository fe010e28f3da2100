"""The planner against the reference, which finds the optimum by another method."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from framepilot_operator.planning.optimum_planner import plan_optimum
from framepilot_operator.planning.workload_file import read_workload
from framepilot_operator.planning.workload_planner import plan_workload
from support.workloads import GRAPHS, workload


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(GRAPHS), st.integers(1, 4))
def test_a_plan_that_is_complete_costs_what_the_optimum_costs(seed: int, graph: str, modules: int) -> None:
    one = read_workload(workload(seed, graph, modules))
    ours, optimum = plan_workload(one, "fractional", lambda: 0.0), plan_optimum(one, "fractional", lambda: 0.0)
    assume(optimum.complete)
    if ours.complete:
        assert ours.cost == pytest.approx(optimum.cost, rel=2e-6)
    assert ours.bound is not None
    assert optimum.cost is not None
    assert ours.bound <= optimum.cost * (1 + 1e-6)


def test_without_time_the_reference_says_that_nothing_was_found() -> None:
    moments = iter(range(0, 10**6, 1000))
    plan = plan_optimum(read_workload(workload(1)), "fractional", lambda: next(moments))
    assert not plan.complete
    assert plan.reason is not None

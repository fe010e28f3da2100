"""The solver `optimum`: every module's whole curve, and the reference method for the split (`optimum.py`)."""

from __future__ import annotations

import math
from typing import Final

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.optimum import Reference, reference
from framepilot_operator.planning.workload import Workload
from framepilot_operator.planning.workload_planner import infeasible, written
from framepilot_operator.planning.workload_search import Clock, Search

TIME_S: Final = 60.0
"""How long it may take for one workload."""
MOST_VISITS: Final = 100_000
"""Beginnings that are looked at for one module's whole curve; and pieces of it."""


def plan_optimum(workload: Workload, cost_model: CostModel, clock: Clock) -> WorkloadPlan:
    """The optimum, proved, or what is known of it when the time is up."""
    impossible = infeasible(workload, cost_model, clock)
    if impossible is not None:
        return impossible
    found = find_optimum(workload, cost_model, clock, TIME_S)
    bound = found.bound if cost_model == "fractional" or len(workload.modules) == 1 else 0.0
    return written(workload, cost_model, found.best, bound, found.proved)


def find_optimum(workload: Workload, cost_model: CostModel, clock: Clock, limit_s: float) -> Reference:
    """The optimum of a feasible workload; under the *whole* cost without sharing."""
    deadline = clock() + limit_s
    search = Search(workload, cost_model, lambda: False, MOST_VISITS)
    pieces = [each.within(0.0, math.inf, MOST_VISITS) for each in search.searches]
    found = reference(search.inputs, pieces, workload.objective_ms, lambda: deadline - clock())
    if all(each.complete for each in search.searches):
        return found
    return Reference(found.best, 0.0, proved=False)

"""The solver `optimum`: every module's whole curve, and the reference method for the split (`optimum.py`).

Where a curve is too long to be listed, or the method does not end in its time, the planner's own search goes on with
hundreds of times its usual effort, which mostly ends with a proof of its own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.optimum import Reference, reference
from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.workload import Workload
from framepilot_operator.planning.workload_planner import infeasible, written
from framepilot_operator.planning.workload_search import QUICK, THOROUGH, Clock, Search

TIME_S: Final = 60.0
"""How long it may take for one workload."""
MOST_VISITS: Final = 100_000
"""Beginnings that are looked at for one module's whole curve."""
MOST_PIECES: Final = 2_000
"""Pieces of one module's curve that the reference method can choose from in its time."""


def plan_optimum(workload: Workload, cost_model: CostModel, clock: Clock) -> WorkloadPlan:
    """The optimum, proved, or what is known of it when the time is up."""
    impossible = infeasible(workload, cost_model, clock)
    if impossible is not None:
        return impossible
    found = find_optimum(workload, cost_model, clock, TIME_S)
    bound = found.bound if cost_model == "fractional" or len(workload.modules) == 1 else 0.0
    return written(workload, cost_model, found.best, bound, found.proved)


def find_optimum(workload: Workload, cost_model: CostModel, clock: Clock, limit_s: float) -> Reference:
    """The optimum of a feasible workload; under the *whole* cost without sharing. Each of two ways gets `limit_s`."""
    found = _by_reference(workload, cost_model, clock, limit_s)
    if found is not None and found.proved:
        return found
    deadline = clock() + limit_s
    search = Search(workload, cost_model, lambda: clock() > deadline, THOROUGH)
    search.solve()
    bound = search.bound if found is None else max(search.bound, found.bound)
    return Reference(search.best, bound, proved=search.complete, method="search")


def _by_reference(workload: Workload, cost_model: CostModel, clock: Clock, limit_s: float) -> Reference | None:
    """None if a curve is too long to be listed."""
    deadline = clock() + limit_s
    search = Search(workload, cost_model, lambda: clock() > deadline, replace(QUICK, pieces=MOST_PIECES))
    pieces: list[list[Piece]] = []
    for each in search.searches:
        pieces.append(each.within(0.0, math.inf, MOST_VISITS))
        if not each.complete or clock() > deadline:
            return None
    return reference(search.inputs, pieces, workload.objective_ms, lambda: deadline - clock())

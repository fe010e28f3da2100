"""The solver `optimum`: every module's whole curve, and the reference method for the split (`optimum.py`)."""

from __future__ import annotations

import math
from typing import Final

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.optimum import Reference, reference
from framepilot_operator.planning.pieces import Piece
from framepilot_operator.planning.workload import Workload
from framepilot_operator.planning.workload_planner import infeasible, written
from framepilot_operator.planning.workload_search import Clock, Search

TIME_S: Final = 60.0
"""How long it may take for one workload."""
MOST_VISITS: Final = 100_000
"""Beginnings that are looked at for one module's whole curve."""
MOST_PIECES: Final = 2_000
"""Pieces of one module's curve that the reference method can choose from in its time."""
EXTRA_S: Final = 2.0
"""What the planner may take after that."""


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
    search = Search(workload, cost_model, lambda: clock() > deadline, MOST_PIECES)
    pieces: list[list[Piece]] = []
    for each in search.searches:
        pieces.append(each.within(0.0, math.inf, MOST_VISITS))
        if not each.complete or clock() > deadline:
            # A curve that is too long to be listed: the planner's own plan and bound are what is known.
            search = Search(workload, cost_model, lambda: clock() > deadline + EXTRA_S)
            search.solve()
            return Reference(search.best, search.bound, proved=False)
    return reference(search.inputs, pieces, workload.objective_ms, lambda: deadline - clock())

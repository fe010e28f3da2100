"""Scrooge: a cost-effective deep learning inference system (Hu et al., SoCC 2021).

As published: the cheapest mix of batch sizes and instance types for all models of a chain, found by mathematical
optimization over measured latencies. The formulation could not be had in full, so what follows is ours: two
configurations for a module, one for what saturates instances and one for what is left, of any device classes, with
2 l(b) and l(b) + b / r within the budget; the split of the objective is optimized on a grid, as in Nexus.
"""

from __future__ import annotations

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.baselines.draft import Draft, finished, full_count, infeasible, with_last
from framepilot_operator.planning.baselines.grid_split import grid_split
from framepilot_operator.planning.workload import Workload, WorkloadModule
from framepilot_operator.planning.workload_search import Clock


def scrooge(workload: Workload, cost_model: CostModel, _clock: Clock) -> WorkloadPlan:
    """Plans a workload as Scrooge does, as far as it is known."""
    refused = infeasible(workload, cost_model)
    if refused is not None:
        return refused
    return finished(workload, cost_model, grid_split(workload, _pair), "Scrooge")


def _pair(module: WorkloadModule, budget_ms: float) -> Draft | None:
    """The cheapest pair; the second is ranked no higher than the first, so that it can be last."""
    usable = [each for each in module.configurations if 2 * each.latency_ms <= budget_ms]
    if not usable:
        return None
    best = usable[0]
    count = full_count(module.rate, best)
    saturated = ((best, count),) if count else ()
    left = module.rate - count * best.throughput
    drafts = [with_last(module, saturated, each, budget_ms) for each in usable if left <= each.throughput]
    return min(drafts, key=lambda draft: draft.cost, default=None)

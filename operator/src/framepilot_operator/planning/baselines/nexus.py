"""Nexus: a GPU cluster engine for accelerating DNN-based video analysis (Shen et al., SOSP 2019).

As published: a session is given the batch with which an instance does most while 2 l(b) <= budget, and as many
saturated instances of it as its rate fills. What is left goes to one instance with a duty cycle l(b) + b / r <= budget.
The objective is split over a tree by dynamic programming. Residual loads are merged onto shared nodes by least duty
cycle; under whole cost that is done by `packed`, which is ours. Nexus knows one kind of GPU; here each module takes the
device class that serves it cheapest, which is ours too.
"""

from __future__ import annotations

from dataclasses import replace

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan, path_latency_ms, whole_cost
from framepilot_operator.planning.baselines.draft import Draft, finished, full_count, infeasible, inputs_of, with_last
from framepilot_operator.planning.baselines.grid_split import grid_split
from framepilot_operator.planning.packing import packed
from framepilot_operator.planning.workload import Workload, WorkloadModule
from framepilot_operator.planning.workload_search import Clock


def nexus(workload: Workload, cost_model: CostModel, _clock: Clock) -> WorkloadPlan:
    """Plans a workload as Nexus does."""
    refused = infeasible(workload, cost_model)
    if refused is not None:
        return refused
    plan = finished(workload, cost_model, grid_split(workload, _cheapest), "Nexus")
    if not plan.feasible or cost_model == "fractional":
        return plan
    modules = packed(workload, plan.modules)
    cost = whole_cost(instance for module in modules for instance in module.instances)
    latency_ms = path_latency_ms(inputs_of(workload), {module.name: module.latency_ms for module in modules})
    return replace(plan, modules=modules, cost=cost, latency_ms=latency_ms)


def _cheapest(module: WorkloadModule, budget_ms: float) -> Draft | None:
    """The cheapest device class, each with its best batch and one residual instance."""
    drafts = [_on(module, device, budget_ms) for device in sorted({each.device for each in module.configurations})]
    return min((draft for draft in drafts if draft is not None), key=lambda draft: draft.cost, default=None)


def _on(module: WorkloadModule, device: str, budget_ms: float) -> Draft | None:
    usable = [each for each in module.configurations if each.device == device and 2 * each.latency_ms <= budget_ms]
    if not usable:
        return None
    best = usable[0]
    count = full_count(module.rate, best)
    saturated = ((best, count),) if count else ()
    left = module.rate - count * best.throughput
    fitting = [
        each
        for each in usable
        if 0 < left <= each.throughput and each.latency_ms + 1000 * each.batch / left <= budget_ms
    ]
    # Where no batch fills in time, the smallest runs partly empty in each duty cycle.
    enough = [each for each in usable if left <= each.throughput]
    residual = fitting[0] if fitting else min(enough, key=lambda each: each.batch)
    return with_last(module, saturated, residual, budget_ms)

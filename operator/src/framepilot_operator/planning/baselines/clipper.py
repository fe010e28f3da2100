"""Clipper: a low-latency online prediction serving system (Crankshaw et al., NSDI 2017).

As published: the batch of a model grows by a constant as long as batches make the objective, and shrinks by 10 % when
one does not (AIMD). Clipper serves single models and plans no cost: that each module gets a share of the objective by
its least latency, that a request waits up to one batch more (2 l(b)), that the batch found is the one AIMD comes back
to, and that the cheapest device class is taken, is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan
from framepilot_operator.planning.baselines.draft import (
    NEAR,
    Draft,
    budgets_by_weight,
    finished,
    infeasible,
    uniform,
)
from framepilot_operator.planning.workload import Configuration, Workload, WorkloadModule
from framepilot_operator.planning.workload_search import Clock

DECREASE: Final = 0.9


def clipper(workload: Workload, cost_model: CostModel, _clock: Clock) -> WorkloadPlan:
    """Plans a workload as Clipper would size it."""
    refused = infeasible(workload, cost_model)
    if refused is not None:
        return refused
    budgets_ms = budgets_by_weight(workload)
    drafts = {module.name: _cheapest(module, budgets_ms[module.name]) for module in workload.modules}
    return finished(workload, cost_model, drafts, "Clipper")


def _cheapest(module: WorkloadModule, budget_ms: float) -> Draft | None:
    """The device class with the least cost at the batch that AIMD finds there."""
    drafts = []
    for device in sorted({each.device for each in module.configurations}):
        found = _aimd([each for each in module.configurations if each.device == device], budget_ms)
        if found is not None:
            drafts.append(uniform(module, found, budget_ms))
    return min(drafts, key=lambda draft: draft.cost, default=None)


def _aimd(configurations: Sequence[Configuration], budget_ms: float) -> Configuration | None:
    """Up from the smallest batch until one misses; then the largest that keeps after a decrease of 10 %."""
    ordered = sorted(configurations, key=lambda each: each.batch)
    missed = next((each.batch for each in ordered if 2 * each.latency_ms > budget_ms * (1 + NEAR)), None)
    if missed is None:
        return ordered[-1]
    kept = [
        each for each in ordered if each.batch <= missed * DECREASE and 2 * each.latency_ms <= budget_ms * (1 + NEAR)
    ]
    if kept:
        return kept[-1]
    # A smaller batch that takes longer than a larger one would end the search too early.
    fastest = min(ordered, key=lambda each: each.latency_ms)
    return fastest if 2 * fastest.latency_ms <= budget_ms * (1 + NEAR) else None

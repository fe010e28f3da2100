"""InferLine: latency-aware provisioning and scaling for prediction serving pipelines (Crankshaw et al., SoCC 2020).

As published: every model begins with the configuration of the least latency; then the one change (a larger batch, or
cheaper hardware) that saves most is made, as long as the pipeline keeps its objective, until none is left. A model has
one configuration. InferLine estimates the tail by simulation; here a module takes 2 l(b), which is ours, as is that a
change of hardware may take any batch.
"""

from __future__ import annotations

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan, path_latency_ms
from framepilot_operator.planning.baselines.draft import (
    NEAR,
    Draft,
    finished,
    infeasible,
    inputs_of,
    uniform,
)
from framepilot_operator.planning.workload import Configuration, Workload, WorkloadModule
from framepilot_operator.planning.workload_search import Clock


def inferline(workload: Workload, cost_model: CostModel, _clock: Clock) -> WorkloadPlan:
    """Plans a workload as InferLine does."""
    refused = infeasible(workload, cost_model)
    if refused is not None:
        return refused
    graph, longest_ms = inputs_of(workload), workload.objective_ms * (1 + NEAR)
    chosen = {
        module.name: min(module.configurations, key=lambda each: (each.latency_ms, each.price))
        for module in workload.modules
    }
    drafts = {module.name: _filled(module, chosen[module.name]) for module in workload.modules}
    while True:
        best: tuple[float, WorkloadModule, Configuration] | None = None
        for module in workload.modules:
            for each in module.configurations:
                saved = drafts[module.name].cost - _filled(module, each).cost
                if saved <= drafts[module.name].cost * NEAR or (best is not None and saved <= best[0]):
                    continue
                latency_ms = {name: 2 * configuration.latency_ms for name, configuration in chosen.items()}
                if path_latency_ms(graph, latency_ms | {module.name: 2 * each.latency_ms}) <= longest_ms:
                    best = (saved, module, each)
        if best is None:
            return finished(workload, cost_model, drafts, "InferLine")
        _, module, each = best
        chosen[module.name] = each
        drafts[module.name] = _filled(module, each)


def _filled(module: WorkloadModule, configuration: Configuration) -> Draft:
    """Instances of one configuration, the last filled up so that its batch is collected within one batch's time."""
    return uniform(module, configuration, 2 * configuration.latency_ms)

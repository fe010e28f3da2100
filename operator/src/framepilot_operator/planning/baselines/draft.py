"""What a baseline chose for one module, and how its choices become a plan of the workload.

Whatever latency a system reckons with, its plan must keep the rule that all plans are held to. So where a last
instance would collect too slowly for its budget it gets dummies, even in systems that know none: that, and the rest of
what makes their plans comparable, is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from framepilot_operator.planning.allocation import (
    CostModel,
    Instance,
    ModuleAllocation,
    NearestFeasible,
    WorkloadPlan,
    fractional_cost,
    path_latency_ms,
    whole_cost,
)
from framepilot_operator.planning.workload import Configuration, Workload, WorkloadModule

MOST_INSTANCES: Final = 100_000
NEAR: Final = 1e-9
"""Relative difference that rounding makes."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Saturated instances by configuration, in rank order, and the load of a last one that is not saturated."""

    saturated: tuple[tuple[Configuration, int], ...]
    last: tuple[Configuration, float] | None

    @property
    def cost(self) -> float:
        """By the fractional cost: what baselines decide by."""
        cost = sum(each.price * count for each, count in self.saturated)
        return cost if self.last is None else cost + self.last[0].price * self.last[1] / self.last[0].throughput

    @property
    def count(self) -> int:
        """How many instances."""
        return sum(count for _, count in self.saturated) + (self.last is not None)

    def instances(self) -> tuple[Instance, ...]:
        """In rank order."""
        every = [Instance(each, each.throughput) for each, count in self.saturated for _ in range(count)]
        return tuple(every if self.last is None else [*every, Instance(*self.last)])


Allocate = Callable[[WorkloadModule, float], Draft | None]
"""From a module and its latency budget, milliseconds, to instances; None if the system finds none that keep it."""


def with_last(
    module: WorkloadModule, saturated: Sequence[tuple[Configuration, int]], last: Configuration, budget_ms: float
) -> Draft:
    """A draft in which `last`, for which 2 d <= budget, runs what is left, with dummies where that is too little."""
    left = module.rate - sum(each.throughput * count for each, count in saturated)
    if left <= module.rate * NEAR and saturated:
        return Draft(tuple(saturated), None)
    needed = 1000 * last.batch / (budget_ms - last.latency_ms)
    return Draft(tuple(saturated), (last, min(max(left, needed), last.throughput)))


def uniform(module: WorkloadModule, configuration: Configuration, budget_ms: float) -> Draft:
    """A draft of instances of one configuration, for which 2 d <= budget."""
    count = full_count(module.rate, configuration)
    return with_last(module, ((configuration, count),) if count else (), configuration, budget_ms)


def full_count(rate: float, configuration: Configuration) -> int:
    """How many instances of a configuration a rate saturates."""
    return int(rate / configuration.throughput * (1 + NEAR))


def least_latency_ms(module: WorkloadModule) -> float:
    """Twice the shortest batch."""
    return 2 * min(each.latency_ms for each in module.configurations)


def inputs_of(workload: Workload) -> Mapping[str, tuple[str, ...]]:
    """The graph, inputs first."""
    return {module.name: module.inputs for module in workload.modules}


def budgets_by_weight(workload: Workload) -> dict[str, float]:
    """Each module's share of the objective by its least latency, on the heaviest way through it."""
    weights = {module.name: least_latency_ms(module) for module in workload.modules}
    before: dict[str, float] = {}
    for module in workload.modules:
        before[module.name] = weights[module.name] + max((before[each] for each in module.inputs), default=0.0)
    after = dict.fromkeys(weights, 0.0)
    for module in reversed(workload.modules):
        for each in module.inputs:
            after[each] = max(after[each], weights[module.name] + after[module.name])
    return {name: workload.objective_ms * weight / (before[name] + after[name]) for name, weight in weights.items()}


def finished(
    workload: Workload, cost_model: CostModel, drafts: Mapping[str, Draft | None], system: str
) -> WorkloadPlan:
    """The plan that drafts of all modules make."""
    found = {name: draft for name, draft in drafts.items() if draft is not None}
    if len(found) < len(workload.modules):
        return WorkloadPlan(False, cost_model, reason=f"{system} finds no configuration within the objective")
    if sum(draft.count for draft in found.values()) > MOST_INSTANCES:
        return WorkloadPlan(False, cost_model, reason=f"it takes more than {MOST_INSTANCES} instances")
    modules = tuple(_allocation(module, found[module.name].instances()) for module in workload.modules)
    instances = [instance for module in modules for instance in module.instances]
    return WorkloadPlan(
        feasible=True,
        cost_model=cost_model,
        cost=fractional_cost(instances) if cost_model == "fractional" else whole_cost(instances),
        latency_ms=path_latency_ms(inputs_of(workload), {module.name: module.latency_ms for module in modules}),
        modules=modules,
    )


def infeasible(workload: Workload, cost_model: CostModel) -> WorkloadPlan | None:
    """A plan that says so, if nothing holds the objective."""
    least_ms = path_latency_ms(
        inputs_of(workload), {module.name: least_latency_ms(module) for module in workload.modules}
    )
    if least_ms <= workload.objective_ms * (1 + NEAR):
        return None
    reason = f"the shortest that any plan takes is {least_ms:g} ms, and the objective is {workload.objective_ms:g} ms"
    return WorkloadPlan(False, cost_model, nearest_feasible=NearestFeasible(least_ms), reason=reason)


def _allocation(module: WorkloadModule, instances: tuple[Instance, ...]) -> ModuleAllocation:
    made = ModuleAllocation(module.name, module.rate, 0.0, instances)
    return ModuleAllocation(module.name, module.rate, made.latency_ms, instances)

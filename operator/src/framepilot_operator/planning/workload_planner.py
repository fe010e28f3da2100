"""Plans a workload: says whether it can be done at all, searches, and writes the plan down.

Dummies always reach a module's least latency, for which one instance of a configuration is saturated; so a workload is
feasible if the longest way of these keeps the objective, whatever the rates.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, NamedTuple

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
from framepilot_operator.planning.arcs import Shape
from framepilot_operator.planning.moves import Running
from framepilot_operator.planning.packing import packed, relaxed
from framepilot_operator.planning.pieces import CLOSE
from framepilot_operator.planning.split import Split, longest_way
from framepilot_operator.planning.workload import Workload, WorkloadModule
from framepilot_operator.planning.workload_search import Clock, Search

TIME_S: Final = 2.0
"""How long a search may take before the best plan so far must do."""
MOST_INSTANCES: Final = 100_000
"""Instances of one plan; what needs more is refused."""


class Solved(NamedTuple):
    """A plan, and the search that found it; without one the workload is infeasible."""

    plan: WorkloadPlan
    search: Search | None


def plan_workload(workload: Workload, cost_model: CostModel, clock: Clock) -> WorkloadPlan:
    """The cheapest plan that is found: the optimum unless `gap` says otherwise."""
    return solved(workload, cost_model, clock).plan


def solved(workload: Workload, cost_model: CostModel, clock: Clock) -> Solved:
    """The same, with what was learnt on the way."""
    impossible = infeasible(workload, cost_model, clock)
    if impossible is not None:
        return Solved(impossible, None)
    deadline = clock() + TIME_S
    search = Search(workload, cost_model, lambda: clock() > deadline)
    search.solve()
    bound = search.bound
    if cost_model == "whole" and len(workload.modules) > 1:
        # Sharing may make it cheaper than the search knows, but not than the shares of the tenants.
        fractional = Search(workload, "fractional", lambda: clock() > deadline)
        fractional.solve()
        bound = fractional.bound
    return Solved(written(workload, cost_model, search.best, bound, search.complete), search)


def infeasible(workload: Workload, cost_model: CostModel, clock: Clock) -> WorkloadPlan | None:
    """The plan that says why there is none; None if there is one."""
    bare = [f"'{module.name}'" for module in workload.modules if not module.configurations]
    if bare:
        reason = f"{', '.join(bare)} can run on nothing: no configuration is left; give one on another device class"
        return WorkloadPlan(False, cost_model, reason=reason)
    least_ms = least_latency_ms(workload)
    if least_ms > workload.objective_ms * (1 + CLOSE):
        return _too_short(workload, cost_model, least_ms, clock)
    fewest = sum(module.rate / max(each.throughput for each in module.configurations) for module in workload.modules)
    if fewest > MOST_INSTANCES:
        share = MOST_INSTANCES / fewest * (1 - CLOSE)
        reason = (
            f"it takes at least {fewest:.0f} instances, whatever the objective, and at most {MOST_INSTANCES} are "
            f"planned; that would do for {share:.3g} of the rates"
        )
        nearest = NearestFeasible(None, share, math.ceil(fewest))
        return WorkloadPlan(False, cost_model, nearest_feasible=nearest, reason=reason)
    return None


def written(
    workload: Workload,
    cost_model: CostModel,
    split: Split | None,
    bound: float,
    complete: bool,
    running: Running | None = None,
) -> WorkloadPlan:
    """The plan of a split, with its instances; `bound` is what no plan can be cheaper than.

    Shared instances that are `running` stay as they are, as far as that holds.
    """
    if split is None:
        return WorkloadPlan(False, cost_model, complete=False, reason="no plan was found in the time there is")
    modules = tuple(
        allocation(module, piece.source, budget_ms)
        for module, piece, budget_ms in zip(workload.modules, split.pieces, split.budgets_ms, strict=True)
        if isinstance(piece.source, Shape)
    )
    if cost_model == "whole":
        modules = packed(workload, relaxed(workload, modules), running)
    instances = [instance for module in modules for instance in module.instances]
    cost = fractional_cost(instances) if cost_model == "fractional" else whole_cost(instances)
    bound = min(bound, cost)
    inputs = {module.name: module.inputs for module in workload.modules}
    return WorkloadPlan(
        feasible=True,
        cost_model=cost_model,
        cost=cost,
        latency_ms=path_latency_ms(inputs, {module.name: module.latency_ms for module in modules}),
        modules=modules,
        bound=bound,
        gap=cost / bound - 1 if bound > 0 else None,
        complete=complete,
        reason=None if complete else "a limit ended the search: the plan holds, and it is the cheapest found",
    )


def _too_short(workload: Workload, cost_model: CostModel, least_ms: float, clock: Clock) -> WorkloadPlan:
    """Why, and what would do. Rates do not matter: even a single request is too late."""
    eased = plan_workload(replace(workload, objective_ms=least_ms * (1 + 1e-9)), cost_model, clock)
    devices = sum(instance.host is None for module in eased.modules for instance in module.instances)
    reason = (
        f"the objective of {workload.objective_ms:g} ms is too short: the longest way takes {least_ms:g} ms with the "
        "fastest configuration of each module, at any rate and with any number of devices"
    )
    nearest = NearestFeasible(least_ms, None, devices or None)
    return WorkloadPlan(False, cost_model, nearest_feasible=nearest, reason=reason)


def allocation(module: WorkloadModule, shape: Shape, budget_ms: float) -> ModuleAllocation:
    """The instances of a module whose plan has a shape, with a budget."""
    # A little sooner than it must be, so that rounding makes nothing late.
    aim_ms = budget_ms * (1 - 4 * CLOSE)
    saturated = [(module.configurations[rank], count) for rank, count in shape.saturated]
    total, before = module.rate, 0.0
    instances: list[Instance] = []
    for configuration, count in saturated:
        instances += [Instance(configuration, configuration.throughput)] * count
        at = before + (count - 1) * configuration.throughput
        total = max(total, at + configuration.needed_rate(aim_ms))
        before += count * configuration.throughput
    last = module.configurations[shape.last]
    total = max(total, before + last.needed_rate(aim_ms))
    load = min(total - before, last.throughput)
    if load > CLOSE * last.throughput or not instances:
        instances.append(Instance(last, load))
    return ModuleAllocation(module.name, module.rate, budget_ms, tuple(instances))


def least_latency_ms(workload: Workload) -> float:
    """The shortest objective that can be held: the longest way of each module's least latency."""
    numbers = {module.name: index for index, module in enumerate(workload.modules)}
    inputs = [tuple(numbers[each] for each in module.inputs) for module in workload.modules]
    return longest_way(inputs, [module.least_latency_ms for module in workload.modules])[0]

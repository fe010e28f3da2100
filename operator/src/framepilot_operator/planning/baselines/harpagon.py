"""Harpagon: minimizing DNN serving cost via efficient dispatching, scheduling and splitting (INFOCOM 2025).

Its text could not be had. What is known of it: whole batches go to one instance, so a module's worst case is d + b / w,
with w what is left for the instance and those after it; instances are ranked by throughput per cost; a module may have
several configurations; dummies are added where that is cheaper; what is left of the objective is given to residual
loads; the objective is split from the least latency on by saved cost per latency. The rest is ours: the budgets that
are tried are those at which some configuration becomes usable, the split is repeated by saved cost alone and the
cheaper one is taken (for its node merger and cost-direct passes), and left-over latency goes to one module after the
other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from framepilot_operator.planning.allocation import CostModel, WorkloadPlan, path_latency_ms
from framepilot_operator.planning.baselines.draft import (
    NEAR,
    Draft,
    budgets_by_weight,
    finished,
    full_count,
    infeasible,
    inputs_of,
    least_latency_ms,
    uniform,
    with_last,
)
from framepilot_operator.planning.workload import Configuration, Workload, WorkloadModule
from framepilot_operator.planning.workload_search import Clock

Score = Callable[[float, float], float]
"""From saved cost and added latency to how good a step is."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Which of its ideas are used; each can be left out alone, to see what it brings."""

    dispatch: bool = True
    multi_tuple: bool = True
    dummies: bool = True
    reassignment: bool = True
    splitter: bool = True


def harpagon(workload: Workload, cost_model: CostModel, _clock: Clock) -> WorkloadPlan:
    """Plans a workload as Harpagon does, as far as it is known."""
    return harpagon_with(Parts(), workload, cost_model)


def harpagon_with(parts: Parts, workload: Workload, cost_model: CostModel) -> WorkloadPlan:
    """The same with some of its parts only."""
    refused = infeasible(workload, cost_model)
    if refused is not None:
        return refused
    if not parts.splitter:
        shares_ms = budgets_by_weight(workload)
        shared = {each.name: allocate(each, shares_ms[each.name], parts) for each in workload.modules}
        return finished(workload, cost_model, shared, "Harpagon")
    options = {module.name: _options(module, workload.objective_ms, parts) for module in workload.modules}
    found: list[dict[str, Draft]] = []
    for score in (_per_latency, _alone):
        budgets_ms = _split(workload, options, score)
        drafts = {name: _at(options[name], budget_ms) for name, budget_ms in budgets_ms.items()}
        found.append(_reassigned(workload, budgets_ms, drafts, parts) if parts.reassignment else drafts)
    cheapest = min(found, key=_cost)
    return finished(workload, cost_model, dict(cheapest), "Harpagon")


def _per_latency(saved: float, added_ms: float) -> float:
    return saved / added_ms


def _alone(saved: float, _added_ms: float) -> float:
    return saved


def _cost(drafts: Mapping[str, Draft]) -> float:
    return sum(draft.cost for draft in drafts.values())


def allocate(module: WorkloadModule, budget_ms: float, parts: Parts) -> Draft | None:
    """Instances in rank order: as many of each configuration as may wait that long for what is left to them."""
    left = module.rate
    saturated: list[tuple[Configuration, int]] = []
    ends = [] if parts.multi_tuple else [uniform(module, each, budget_ms) for each in _last(module, budget_ms, parts)]
    for each in module.configurations if parts.multi_tuple else ():
        if each.latency_ms >= budget_ms or (not parts.dispatch and 2 * each.latency_ms > budget_ms):
            continue
        needed = 1000 * each.batch / (budget_ms - each.latency_ms)
        if needed <= each.throughput * (1 + NEAR) and (parts.dummies or left >= needed * (1 - NEAR)):
            count = full_count(left, each)
            ends.append(with_last(module, [*saturated, (each, count)] if count else saturated, each, budget_ms))
        # The last of them has to wait for all that is left for it and those after it.
        count = min(full_count(left, each), int((left - needed) / each.throughput * (1 + NEAR) + 1))
        if count > 0 and left >= needed * (1 - NEAR):
            saturated.append((each, count))
            left -= count * each.throughput
        if left <= module.rate * NEAR:
            ends.append(Draft(tuple(saturated), None))
            break
    if not ends:
        # Without dummies nothing may collect fast enough; the fastest then runs partly empty.
        fastest = min(module.configurations, key=lambda each: each.latency_ms)
        return uniform(module, fastest, budget_ms) if 2 * fastest.latency_ms <= budget_ms * (1 + NEAR) else None
    return min(ends, key=lambda draft: draft.cost)


def _last(module: WorkloadModule, budget_ms: float, parts: Parts) -> list[Configuration]:
    """What a module may run on alone."""
    return [
        each
        for each in module.configurations
        if 2 * each.latency_ms <= budget_ms * (1 + NEAR)
        and (parts.dummies or _own_rest(module, each) >= 1000 * each.batch / (budget_ms - each.latency_ms))
    ]


def _own_rest(module: WorkloadModule, configuration: Configuration) -> float:
    rest = module.rate - full_count(module.rate, configuration) * configuration.throughput
    return rest if rest > module.rate * NEAR else configuration.throughput


def _options(module: WorkloadModule, objective_ms: float, parts: Parts) -> list[tuple[float, Draft]]:
    """Budgets at which something changes, and the cheapest draft within each; costs fall."""
    budgets_ms = {least_latency_ms(module)}
    for each in module.configurations:
        budgets_ms |= {2 * each.latency_ms, each.latency_ms + 1000 * each.batch / module.rate, objective_ms}
    options: list[tuple[float, Draft]] = []
    for budget_ms in sorted(budgets_ms):
        if not least_latency_ms(module) <= budget_ms <= objective_ms * (1 + NEAR):
            continue
        draft = allocate(module, budget_ms, parts)
        if draft is not None and (not options or draft.cost < options[-1][1].cost * (1 - NEAR)):
            options.append((budget_ms, draft))
    return options


def _at(options: list[tuple[float, Draft]], budget_ms: float) -> Draft:
    return options[bisect_right(options, budget_ms, key=lambda each: each[0]) - 1][1]


def _split(workload: Workload, options: Mapping[str, list[tuple[float, Draft]]], score: Score) -> dict[str, float]:
    """From the least latency, step by step the change with the best score that the objective allows."""
    graph, longest_ms = inputs_of(workload), workload.objective_ms * (1 + NEAR)
    chosen = dict.fromkeys(options, 0)
    while True:
        now_ms = {name: options[name][at][0] for name, at in chosen.items()}
        steps = []
        for name, at in chosen.items():
            budget_ms, draft = options[name][at]
            for further in range(at + 1, len(options[name])):
                later_ms, cheaper = options[name][further]
                steps.append((score(draft.cost - cheaper.cost, later_ms - budget_ms), name, further))
        for _, name, further in sorted(steps, reverse=True):
            if path_latency_ms(graph, now_ms | {name: options[name][further][0]}) <= longest_ms:
                chosen[name] = further
                break
        else:
            return now_ms


def _reassigned(
    workload: Workload, budgets_ms: Mapping[str, float], drafts: Mapping[str, Draft], parts: Parts
) -> dict[str, Draft]:
    """Gives what is left of the objective to one module after the other."""
    graph, wide_ms, better = inputs_of(workload), dict(budgets_ms), dict(drafts)
    for module in workload.modules:
        longest_ms = path_latency_ms(graph, wide_ms | {module.name: workload.objective_ms})
        spare_ms = 2 * workload.objective_ms - longest_ms
        draft = allocate(module, spare_ms, parts) if spare_ms > wide_ms[module.name] else None
        if draft is not None and draft.cost < better[module.name].cost * (1 - NEAR):
            better[module.name], wide_ms[module.name] = draft, spare_ms
    return better

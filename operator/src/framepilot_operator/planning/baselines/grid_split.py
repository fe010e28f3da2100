"""Splits an objective over a graph by dynamic programming on a grid of budgets, as Nexus does for trees (SOSP 2019).

f(group, budget) is the least cost of a group and all that comes after it. In a forest each module is a group. In
another graph all modules as deep as each other are one, with one budget for all of them: ours, since there a module has
several ways to it, on which its budget would be counted more than once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from framepilot_operator.planning.baselines.draft import Allocate, Draft, least_latency_ms
from framepilot_operator.planning.workload import Workload, WorkloadModule

STEPS: Final = 60
"""Into how many steps the objective is cut."""


@dataclass(slots=True)
class _Group:
    modules: list[WorkloadModule]
    after: list[_Group] = field(default_factory=list)
    options: list[tuple[float, list[Draft]] | None] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)


def grid_split(workload: Workload, allocate: Allocate) -> dict[str, Draft | None]:
    """A draft for each module, of the least cost that the grid allows; None for all if nothing fits the grid."""
    first, ordered = _groups(workload)
    for group in reversed(ordered):
        _solve(group, workload.objective_ms, allocate)
    drafts: dict[str, Draft | None] = dict.fromkeys((module.name for module in workload.modules), None)
    for group in first:
        if not math.isfinite(group.costs[STEPS]):
            return drafts
        _take(group, STEPS, drafts)
    return drafts


def _groups(workload: Workload) -> tuple[list[_Group], list[_Group]]:
    """Those without a group before them, and all, each after the one before it."""
    if all(len(module.inputs) <= 1 for module in workload.modules):
        by_name = {module.name: _Group([module]) for module in workload.modules}
        for module in workload.modules:
            for each in module.inputs:
                by_name[each].after.append(by_name[module.name])
        return [by_name[module.name] for module in workload.modules if not module.inputs], list(by_name.values())
    depth: dict[str, int] = {}
    levels: list[_Group] = []
    for module in workload.modules:
        depth[module.name] = 1 + max((depth[each] for each in module.inputs), default=-1)
    for level in range(max(depth.values()) + 1):
        group = _Group([module for module in workload.modules if depth[module.name] == level])
        if levels:
            levels[-1].after.append(group)
        levels.append(group)
    return levels[:1], levels


def _solve(group: _Group, objective_ms: float, allocate: Allocate) -> None:
    least_ms = max(map(least_latency_ms, group.modules))
    for step in range(STEPS + 1):
        budget_ms = objective_ms * step / STEPS
        drafts = [allocate(module, budget_ms) for module in group.modules] if budget_ms >= least_ms else [None]
        found = [draft for draft in drafts if draft is not None]
        group.options.append((sum(each.cost for each in found), found) if len(found) == len(drafts) else None)
    for step in range(STEPS + 1):
        best, taken = math.inf, 0
        for own, option in enumerate(group.options[: step + 1]):
            if option is None:
                continue
            cost = option[0] + sum(each.costs[step - own] for each in group.after)
            if cost < best:
                best, taken = cost, own
        group.costs.append(best)
        group.taken.append(taken)


def _take(group: _Group, step: int, drafts: dict[str, Draft | None]) -> None:
    pending: list[tuple[_Group, int]] = [(group, step)]
    while pending:
        current, left = pending.pop()
        own = current.taken[left]
        option = current.options[own]
        chosen: Sequence[Draft] = option[1] if option is not None else ()
        drafts.update(zip((module.name for module in current.modules), chosen, strict=True))
        pending += [(each, left - own) for each in current.after]

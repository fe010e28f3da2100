"""Packing under the *whole* cost: last instances of several modules on one device class become one instance. Ours.

Tenants of an instance run in turn, so a round takes the sum of their durations: each must be able to wait that long for
its batch, and its latency counts the round in place of its own duration. Modules are packed greedily, dearest device
first, each onto the first instance that takes it; a plan stays as it is where that would make it late. What runs
already stays where it is, as far as that holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from framepilot_operator.planning.allocation import Instance, ModuleAllocation, path_latency_ms
from framepilot_operator.planning.moves import Running
from framepilot_operator.planning.pieces import CLOSE
from framepilot_operator.planning.workload import Workload, memory_together_mb

HALVINGS: Final = 40


def relaxed(workload: Workload, modules: Sequence[ModuleAllocation]) -> tuple[ModuleAllocation, ...]:
    """The same instances with as few dummies as the objective allows: what is left over goes to the modules in turn.

    Dummies are paid for with their instance, so a search does not spare them; a tenant has room only without them.
    """
    plan = {module.name: module for module in modules}
    for module in modules:
        *saturated, last = module.instances
        least = max(module.rate - sum(each.load for each in saturated), last.load * CLOSE)
        changed = _with_last(module, replace(last, load=least))
        low, high = least, last.load
        if not _holds(workload, plan | {module.name: changed}):
            for _ in range(HALVINGS):
                middle = (low + high) / 2
                changed = _with_last(module, replace(last, load=middle))
                low, high = (low, middle) if _holds(workload, plan | {module.name: changed}) else (middle, high)
            changed = _with_last(module, replace(last, load=high))
        plan[module.name] = changed
    return tuple(plan.values())


def packed(
    workload: Workload, modules: Sequence[ModuleAllocation], running: Running | None = None
) -> tuple[ModuleAllocation, ...]:
    """The same plan with fewer instances where last instances can share one; `running` is what is not to be moved."""
    plan = {module.name: module for module in modules}
    by_price = sorted(modules, key=lambda module: (-module.instances[-1].configuration.price, module.name))
    groups: list[list[str]] = []
    stay = _hosts(modules, running or Running())
    for name in sorted(stay, key=lambda each: stay[each] is not None):
        group = next((each for each in groups if each[0] == stay[name]), [])
        shared = _shared(workload, plan, [*group, name]) if group else None
        if shared is not None:
            plan |= shared
            group.append(name)
        elif stay[name] is None:
            groups.append([name])
    placed = {name for group in groups for name in group}
    for module in by_price:
        if module.name in placed:
            continue
        for group in groups:
            shared = _shared(workload, plan, [*group, module.name])
            if shared is not None:
                plan |= shared
                group.append(module.name)
                break
        else:
            groups.append([module.name])
    return tuple(plan[module.name] for module in modules)


def _hosts(modules: Sequence[ModuleAllocation], running: Running) -> dict[str, str | None]:
    """Of each module whose last instance runs already where it runs: its host, None if it has its own instance."""
    hosts: dict[str, str | None] = {}
    for module in modules:
        last = module.instances[-1].configuration
        places = [
            place for place in running if place[:3] == (module.name, last.device, last.batch) and running[place] > 0
        ]
        if places:
            # A tenant is always the last one.
            hosts[module.name] = max((place.host for place in places), key=lambda host: host is not None)
    return hosts


def _shared(
    workload: Workload, plan: dict[str, ModuleAllocation], names: Sequence[str]
) -> dict[str, ModuleAllocation] | None:
    """The modules with their last instances on one, the first's; None if that cannot be."""
    lasts = [plan[name].instances[-1] for name in names]
    device = lasts[0].configuration.device
    if any(last.configuration.device != device for last in lasts):
        return None
    round_ms = sum(last.configuration.latency_ms for last in lasts)
    busy = sum(last.load / last.configuration.throughput for last in lasts)
    memory_mb = memory_together_mb(last.configuration for last in lasts)
    if busy > 1 + CLOSE or memory_mb > workload.usable_mb(device) * (1 + CLOSE):
        return None
    if any(round_ms > 1000.0 * last.configuration.batch / last.load * (1 + CLOSE) for last in lasts):
        return None
    changed = {
        name: _with_last(plan[name], replace(last, host=None if name == names[0] else names[0], shared_ms=round_ms))
        for name, last in zip(names, lasts, strict=True)
    }
    return changed if _holds(workload, plan | changed) else None


def _holds(workload: Workload, plan: Mapping[str, ModuleAllocation]) -> bool:
    inputs = {module.name: module.inputs for module in workload.modules}
    latency_ms = path_latency_ms(inputs, {name: module.latency_ms for name, module in plan.items()})
    return latency_ms <= workload.objective_ms


def _with_last(module: ModuleAllocation, last: Instance) -> ModuleAllocation:
    instances = (*module.instances[:-1], last)
    changed = replace(module, instances=instances)
    return replace(changed, budget_ms=changed.latency_ms)

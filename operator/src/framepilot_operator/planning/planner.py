"""Chooses the batch size, the wait and the budget of every module of a service, so that its objective holds.

First planner: one instance for a service, all of its modules on one device, which runs one batch at a time and serves
modules in turn. An item then waits at each module at most its `max_wait` for its batch and one cycle (one batch of
every module, its own the last of them), so the worst case of a way through the pipeline is

    sum over its modules of (max_wait + cycle)  <=  USABLE * objective

as long as the device keeps up and an item's batch has room for it. Among the plans that hold this bound the cheapest in
device time is taken. What runs is kept unless another plan is clearly better, so that noise in a profile moves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from framepilot.contract.desired import Batch, Pipeline
from framepilot.resources.service import InferenceService
from framepilot.scheduling.latency import batch_sizes
from framepilot_operator.planning.budgets import Node, paths, split
from framepilot_operator.planning.frontier import Choices, Point, cheapest, frontier, point
from framepilot_operator.planning.plan import InstancePlan, ModulePlan
from framepilot_operator.planning.profile import ModuleProfile

USABLE: Final = 0.8
"""Share of the objective that modules may use; the rest is for pre- and post-processing and what a bound overlooks."""
CLEARLY_BETTER: Final = 0.92
"""Another plan replaces the one that runs if its cost is this share of it or less."""


@dataclass(frozen=True, slots=True)
class _Module:
    """What the planner knows of a module: where it stands, between what its size may be, how long it takes."""

    node: Node
    smallest: int
    largest: int
    limit: int
    profile: ModuleProfile | None

    @property
    def fixed(self) -> bool:
        return self.smallest == self.largest

    def sizes(self, profile: ModuleProfile) -> tuple[int, ...]:
        """Sizes to choose from: nothing that was not measured, except for the smallest that is allowed."""
        allowed = (size for size in batch_sizes(self.largest) if self.smallest < size <= profile.largest)
        return (self.smallest, *allowed)


def plan(
    services: Sequence[InferenceService],
    profiles: Mapping[tuple[str, str], ModuleProfile],
    previous: Mapping[str, Pipeline],
) -> dict[str, InstancePlan]:
    """One instance for each service.

    Args:
        services: what is declared.
        profiles: by (service, module): of the version that serves, on the device of its instance.
        previous: by service: what its instance was told last.
    """
    return {
        service.key: _planned(
            service,
            [
                _module(service, position, profiles.get((service.key, module.name)))
                for position, module in enumerate(service.spec.modules)
            ],
            previous.get(service.key),
        )
        for service in services
    }


def worst_case_ms(nodes: Sequence[Node], waits_ms: Mapping[str, float], cycle_ms: float) -> float:
    """The longest that a frame can take through the modules, milliseconds."""
    return max(sum(waits_ms[name] + cycle_ms for name in path) for path in paths(nodes))


def _module(service: InferenceService, position: int, profile: ModuleProfile | None) -> _Module:
    module = service.spec.modules[position]
    batching = service.spec.batching_of(module)
    smallest, largest = batching.bounds
    node = Node(module.name, module.inputs[0] if module.inputs else None)
    return _Module(node, smallest, largest, max(largest, batching.max), profile)


def _planned(service: InferenceService, modules: Sequence[_Module], previous: Pipeline | None) -> InstancePlan:
    objective_ms = service.spec.objective.latency_ms
    unmeasured = [module.node.name for module in modules if module.profile is None]
    if unmeasured:
        return _unmeasured(service.key, objective_ms, modules, previous, unmeasured)
    choices = tuple(
        Choices(module.profile, module.sizes(module.profile)) for module in modules if module.profile is not None
    )
    depth = max(len(path) for path in paths([module.node for module in modules]))
    longest_cycle_ms = USABLE * objective_ms / depth
    points = frontier(choices)
    best = cheapest(points, longest_cycle_ms)
    if best is None:
        return _infeasible(service.key, objective_ms, modules, choices, points[0], depth)
    running = _running(modules, choices, previous)
    if running is not None and running.cycle_ms <= longest_cycle_ms and best.cost_ms > CLEARLY_BETTER * running.cost_ms:
        return _feasible(service.key, objective_ms, modules, choices, running, previous, "what runs is good enough")
    reason = "the least device time for an item that holds the objective"
    return _feasible(service.key, objective_ms, modules, choices, best, previous, reason)


def _unmeasured(
    service: str,
    objective_ms: float,
    modules: Sequence[_Module],
    previous: Pipeline | None,
    unmeasured: Sequence[str],
) -> InstancePlan:
    """Go on with what runs, start what is new at its smallest size: running it is what measures it."""
    told = _told(previous)
    sizes: list[int] = []
    waits_ms: dict[str, float] = {}
    for module in modules:
        before = told.get(module.node.name)
        admissible = before is not None and module.smallest <= before.size <= module.largest
        sizes.append(before.size if before is not None and admissible else module.smallest)
        waits_ms[module.node.name] = before.max_wait_ms if before is not None and admissible else 0
    budgets_ms = _kept_budgets(modules, previous, objective_ms) or _split(
        modules, dict.fromkeys(waits_ms, 1.0), objective_ms
    )
    reasons = [
        "fixed" if module.fixed else "not measured yet" if module.profile is None else "waits for the others' profiles"
        for module in modules
    ]
    return InstancePlan(
        service=service,
        objective_ms=objective_ms,
        modules=_module_plans(modules, sizes, waits_ms, budgets_ms, reasons),
        reason=f"no profile yet of {', '.join(unmeasured)}",
    )


def _infeasible(
    service: str,
    objective_ms: float,
    modules: Sequence[_Module],
    choices: Sequence[Choices],
    fastest: Point,
    depth: int,
) -> InstancePlan:
    waits_ms = dict.fromkeys((module.node.name for module in modules), 0.0)
    worst_ms = worst_case_ms([module.node for module in modules], waits_ms, fastest.cycle_ms)
    needed_ms = depth * fastest.cycle_ms / USABLE
    reasons = ["fixed" if module.fixed else "the shortest cycle there is" for module in modules]
    return InstancePlan(
        service=service,
        objective_ms=objective_ms,
        modules=_module_plans(
            modules, fastest.sizes, waits_ms, _weighed(modules, choices, fastest, waits_ms, objective_ms), reasons
        ),
        reason="no batch sizes hold the objective, so the fastest ones run",
        worst_case_ms=worst_ms,
        feasible=False,
        needed_ms=needed_ms,
    )


def _feasible(
    service: str,
    objective_ms: float,
    modules: Sequence[_Module],
    choices: Sequence[Choices],
    chosen: Point,
    previous: Pipeline | None,
    reason: str,
) -> InstancePlan:
    nodes = [module.node for module in modules]
    told = _told(previous)
    same_sizes = [told[node.name].size if node.name in told else None for node in nodes] == list(chosen.sizes)
    kept_budgets_ms = _kept_budgets(modules, previous, objective_ms) if same_sizes else None
    waits_ms = {node.name: told[node.name].max_wait_ms for node in nodes} if kept_budgets_ms else {}
    if kept_budgets_ms is None or worst_case_ms(nodes, waits_ms, chosen.cycle_ms) > USABLE * objective_ms:
        waits_ms = _waits(nodes, choices, chosen, objective_ms)
        kept_budgets_ms = None
    return InstancePlan(
        service=service,
        objective_ms=objective_ms,
        modules=_module_plans(
            modules,
            chosen.sizes,
            waits_ms,
            kept_budgets_ms or _weighed(modules, choices, chosen, waits_ms, objective_ms),
            [
                _reason(module, choice, size)
                for module, choice, size in zip(modules, choices, chosen.sizes, strict=True)
            ],
        ),
        reason=reason,
        worst_case_ms=worst_case_ms(nodes, waits_ms, chosen.cycle_ms),
        feasible=True,
    )


def _running(modules: Sequence[_Module], choices: Sequence[Choices], previous: Pipeline | None) -> Point | None:
    """The sizes that run, with those that are fixed now; None if they are not to be chosen from any more."""
    told = _told(previous)
    sizes: list[int] = []
    for module, choice in zip(modules, choices, strict=True):
        before = told.get(module.node.name)
        size = module.smallest if module.fixed else before.size if before is not None else 0
        if size not in choice.sizes:
            return None
        sizes.append(size)
    return point(choices, sizes) if told else None


def _waits(nodes: Sequence[Node], choices: Sequence[Choices], chosen: Point, objective_ms: float) -> dict[str, float]:
    """How long each module may wait for a batch to fill: what the objective leaves, at most the batch's own time.

    While a device is busy its batches fill by themselves; waiting for longer than a batch takes would leave it idle for
    longer than a larger batch can save.
    """
    depth = max(len(path) for path in paths(nodes))
    slack_ms = max(0.0, USABLE * objective_ms / depth - chosen.cycle_ms)
    return {
        node.name: 0.0 if size == 1 else _floor(min(slack_ms, choice.profile.tail_ms(size)), 10)
        for node, choice, size in zip(nodes, choices, chosen.sizes, strict=True)
    }


def _weighed(
    modules: Sequence[_Module],
    choices: Sequence[Choices],
    chosen: Point,
    waits_ms: Mapping[str, float],
    objective_ms: float,
) -> dict[str, float]:
    """Budgets in proportion to what each module adds to the worst case."""
    weights = {
        module.node.name: waits_ms[module.node.name] + choice.profile.tail_ms(size)
        for module, choice, size in zip(modules, choices, chosen.sizes, strict=True)
    }
    heaviest = max(weights.values())
    # A profile may say 0 ms; every module needs some budget all the same.
    return _split(modules, {name: max(weight, heaviest / 1000, 1e-6) for name, weight in weights.items()}, objective_ms)


def _split(modules: Sequence[_Module], weights: Mapping[str, float], objective_ms: float) -> dict[str, float]:
    budgets_ms = split([module.node for module in modules], weights, objective_ms)
    # Rounded down, so that rounding cannot bring a path above the objective.
    return {name: _floor(budget_ms, 1000) or budget_ms for name, budget_ms in budgets_ms.items()}


def _kept_budgets(
    modules: Sequence[_Module], previous: Pipeline | None, objective_ms: float
) -> dict[str, float] | None:
    """The budgets that are in force, if they are of this pipeline and this objective."""
    if previous is None or previous.objective_ms != objective_ms:
        return None
    before = [(module.name, module.inputs) for module in previous.modules]
    now = [(node.name, () if node.parent is None else (node.parent,)) for node in (module.node for module in modules)]
    return {module.name: module.budget_ms for module in previous.modules} if before == now else None


def _module_plans(
    modules: Sequence[_Module],
    sizes: Sequence[int],
    waits_ms: Mapping[str, float],
    budgets_ms: Mapping[str, float],
    reasons: Sequence[str],
) -> tuple[ModulePlan, ...]:
    return tuple(
        ModulePlan(
            name=module.node.name,
            batch=Batch(size=size, limit=module.limit, max_wait_ms=waits_ms[module.node.name]),
            budget_ms=budgets_ms[module.node.name],
            reason=reason,
        )
        for module, size, reason in zip(modules, sizes, reasons, strict=True)
    )


def _told(previous: Pipeline | None) -> dict[str, Batch]:
    return {} if previous is None else {module.name: module.batch for module in previous.modules}


def _reason(module: _Module, choice: Choices, size: int) -> str:
    if module.fixed:
        return "fixed"
    saved = 1 - choice.cost_ms(size) / choice.cost_ms(module.smallest) if choice.cost_ms(module.smallest) else 0
    unmeasured = "" if size <= choice.profile.largest else f"; measured up to {choice.profile.largest} only"
    return f"{choice.cost_ms(size):.3g} ms an item, {saved:.0%} less than at {module.smallest}{unmeasured}"


def _floor(value: float, steps: int) -> float:
    """The value rounded down to a whole number of `1 / steps`."""
    return math.floor(value * steps) / steps

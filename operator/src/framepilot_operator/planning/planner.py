"""Chooses the batch size, the wait and the budget of every module of an instance, so that objectives hold.

First planner: all services of one instance, all of their modules on one device, which runs one batch at a time and
serves modules in turn. An item then waits at each module at most its `max_wait` for its batch and one cycle (one batch
of every module, its own the last of them), so the worst case of a way through a pipeline is

    sum over its modules of (max_wait + cycle)  <=  USABLE * objective

as long as the device keeps up and an item's batch has room for it. Among the plans that hold this bound for every
service the cheapest in device time is taken. What runs is kept unless another plan is clearly better, so that noise in
a profile moves nothing.

A service of which a module is not measured yet serves nothing through it, so it holds up none of the others: its
modules that are measured keep their sizes, and count for the cycle.
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
from framepilot_operator.planning.load import loaded
from framepilot_operator.planning.plan import ModulePlan, ServicePlan
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


@dataclass(frozen=True, slots=True)
class _Service:
    """One of the services on the device; `previous` is what its instance was told of it last."""

    key: str
    objective_ms: float
    modules: tuple[_Module, ...]
    previous: Pipeline | None

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(module.node for module in self.modules)

    @property
    def depth(self) -> int:
        """How many modules stand on the longest way."""
        return max(len(path) for path in paths(self.nodes))

    @property
    def longest_cycle_ms(self) -> float:
        """The longest cycle with which the objective holds."""
        return USABLE * self.objective_ms / self.depth

    @property
    def told(self) -> dict[str, Batch]:
        return {} if self.previous is None else {module.name: module.batch for module in self.previous.modules}

    @property
    def measured(self) -> bool:
        return all(module.profile is not None for module in self.modules)

    @property
    def given(self) -> tuple[Choices, ...]:
        """Its measured modules, with the sizes that they keep while the others are not."""
        sizes = _kept_sizes(self)
        return tuple(
            Choices(module.profile, (size,))
            for module, size in zip(self.modules, sizes, strict=True)
            if module.profile is not None
        )


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A service's part of what was chosen for all: its modules' choices and sizes, and the cycle of all."""

    service: _Service
    choices: tuple[Choices, ...]
    sizes: tuple[int, ...]
    cycle_ms: float


def plan(
    services: Sequence[InferenceService],
    profiles: Mapping[tuple[str, str], ModuleProfile],
    previous: Mapping[str, Pipeline],
    rates: Mapping[tuple[str, str], float] | None = None,
) -> dict[str, ServicePlan]:
    """What each service of one instance shall run there.

    Args:
        services: those that share the instance.
        profiles: by (service, module): of the version that serves, on the device of the instance.
        previous: by service: what the instance was told last.
        rates: by (service, module): items per second, where they are known.
    """
    every = [_service(service, profiles, previous.get(service.key)) for service in services]
    members = [member for member in every if member.measured]
    others = [member for member in every if not member.measured]
    plans = {member.key: _unmeasured(member) for member in others}
    if members:
        plans |= _together(members, [given for member in others for given in member.given])
    return loaded(plans, profiles, rates or {})


def _together(members: Sequence[_Service], given: Sequence[Choices]) -> dict[str, ServicePlan]:
    """The plans of measured services; `given` are the modules of others that run beside them, as they are."""
    free = tuple(
        Choices(module.profile, module.sizes(module.profile))
        for member in members
        for module in member.modules
        if module.profile is not None
    )
    choices = (*free, *given)
    points = frontier(choices)
    shortest = points[0]
    # An objective that nothing holds is no reason to slow down those that can be held.
    longest_cycles_ms = [member.longest_cycle_ms for member in members if member.longest_cycle_ms >= shortest.cycle_ms]
    chosen, reason = shortest, "the shortest cycle there is"
    if longest_cycles_ms:
        chosen, reason = _chosen(points, min(longest_cycles_ms), _running(members, choices))
    return {part.service.key: _planned(part, reason, shortest.cycle_ms) for part in _parts(members, choices, chosen)}


def _chosen(points: Sequence[Point], longest_cycle_ms: float, running: Point | None) -> tuple[Point, str]:
    """Of the points of a frontier with a cycle that is short enough the cheapest, or what runs if that is as good."""
    best = cheapest(points, longest_cycle_ms) or points[0]
    if running is not None and running.cycle_ms <= longest_cycle_ms and best.cost_ms > CLEARLY_BETTER * running.cost_ms:
        return running, "what runs is good enough"
    return best, "the least device time for an item that holds the objective"


def worst_case_ms(nodes: Sequence[Node], waits_ms: Mapping[str, float], cycle_ms: float) -> float:
    """The longest that a frame can take through the modules, milliseconds."""
    return max(sum(waits_ms[name] + cycle_ms for name in path) for path in paths(nodes))


def _service(
    service: InferenceService, profiles: Mapping[tuple[str, str], ModuleProfile], previous: Pipeline | None
) -> _Service:
    modules = []
    for module in service.spec.modules:
        batching = service.spec.batching_of(module)
        smallest, largest = batching.bounds
        node = Node(module.name, module.inputs[0] if module.inputs else None)
        profile = profiles.get((service.key, module.name))
        modules.append(_Module(node, smallest, largest, max(largest, batching.max), profile))
    return _Service(service.key, service.spec.objective.latency_ms, tuple(modules), previous)


def _parts(members: Sequence[_Service], choices: Sequence[Choices], chosen: Point) -> list[_Chosen]:
    parts, start = [], 0
    for member in members:
        end = start + len(member.modules)
        parts.append(_Chosen(member, tuple(choices[start:end]), chosen.sizes[start:end], chosen.cycle_ms))
        start = end
    return parts


def _planned(chosen: _Chosen, reason: str, shortest_cycle_ms: float) -> ServicePlan:
    if chosen.cycle_ms > chosen.service.longest_cycle_ms:
        return _infeasible(chosen, shortest_cycle_ms)
    return _feasible(chosen, reason)


def _unmeasured(service: _Service) -> ServicePlan:
    """Go on with what runs, start what is new at its smallest size: running it is what measures it."""
    told = service.told
    sizes = _kept_sizes(service)
    waits_ms: dict[str, float] = {}
    for module, size in zip(service.modules, sizes, strict=True):
        before = told.get(module.node.name)
        waits_ms[module.node.name] = before.max_wait_ms if before is not None and before.size == size else 0
    budgets_ms = _kept_budgets(service) or _split(service, dict.fromkeys(waits_ms, 1.0))
    reasons = [
        "fixed" if module.fixed else "not measured yet" if module.profile is None else "waits for the others' profiles"
        for module in service.modules
    ]
    missing = [module.node.name for module in service.modules if not module.profile]
    return ServicePlan(
        service=service.key,
        objective_ms=service.objective_ms,
        modules=_module_plans(service.modules, sizes, waits_ms, budgets_ms, reasons),
        reason=f"no profile yet of {', '.join(missing)}",
    )


def _kept_sizes(service: _Service) -> list[int]:
    """The size that each module has, if it still may have it, else its smallest."""
    told = service.told
    sizes = []
    for module in service.modules:
        before = told.get(module.node.name)
        admissible = before is not None and module.smallest <= before.size <= module.largest
        sizes.append(before.size if before is not None and admissible else module.smallest)
    return sizes


def _infeasible(chosen: _Chosen, shortest_cycle_ms: float) -> ServicePlan:
    service = chosen.service
    waits_ms = dict.fromkeys((node.name for node in service.nodes), 0.0)
    fastest = chosen.cycle_ms <= shortest_cycle_ms
    what = "the shortest cycle there is" if fastest else "what the objectives of the others leave"
    reasons = ["fixed" if module.fixed else what for module in service.modules]
    return ServicePlan(
        service=service.key,
        objective_ms=service.objective_ms,
        modules=_module_plans(service.modules, chosen.sizes, waits_ms, _weighed(chosen, waits_ms), reasons),
        reason=f"no batch sizes hold the objective, so it gets {what}",
        worst_case_ms=worst_case_ms(service.nodes, waits_ms, chosen.cycle_ms),
        cycle_ms=chosen.cycle_ms,
        feasible=False,
        needed_ms=service.depth * shortest_cycle_ms / USABLE,
    )


def _feasible(chosen: _Chosen, reason: str) -> ServicePlan:
    service, nodes = chosen.service, chosen.service.nodes
    told = service.told
    same_sizes = [told[node.name].size if node.name in told else None for node in nodes] == list(chosen.sizes)
    kept_budgets_ms = _kept_budgets(service) if same_sizes else None
    waits_ms = {node.name: told[node.name].max_wait_ms for node in nodes} if kept_budgets_ms else {}
    if kept_budgets_ms is None or worst_case_ms(nodes, waits_ms, chosen.cycle_ms) > USABLE * service.objective_ms:
        waits_ms = _waits(chosen)
        kept_budgets_ms = None
    return ServicePlan(
        service=service.key,
        objective_ms=service.objective_ms,
        modules=_module_plans(
            service.modules,
            chosen.sizes,
            waits_ms,
            kept_budgets_ms or _weighed(chosen, waits_ms),
            [
                _reason(module, choice, size)
                for module, choice, size in zip(service.modules, chosen.choices, chosen.sizes, strict=True)
            ],
        ),
        reason=reason,
        worst_case_ms=worst_case_ms(nodes, waits_ms, chosen.cycle_ms),
        cycle_ms=chosen.cycle_ms,
        feasible=True,
    )


def _running(services: Sequence[_Service], choices: Sequence[Choices]) -> Point | None:
    """The sizes that run, with those that are fixed now; None if they are not to be chosen from any more."""
    sizes: list[int] = []
    for service in services:
        told = service.told
        for module in service.modules:
            before = told.get(module.node.name)
            sizes.append(module.smallest if module.fixed else before.size if before is not None else 0)
    sizes.extend(given.sizes[0] for given in choices[len(sizes) :])
    if any(size not in choice.sizes for size, choice in zip(sizes, choices, strict=True)):
        return None
    return point(choices, sizes) if all(service.told for service in services) else None


def _waits(chosen: _Chosen) -> dict[str, float]:
    """How long each module may wait for a batch to fill: what the objective leaves, at most the batch's own time.

    While a device is busy its batches fill by themselves; waiting for longer than a batch takes would leave it idle for
    longer than a larger batch can save.
    """
    slack_ms = max(0.0, chosen.service.longest_cycle_ms - chosen.cycle_ms)
    return {
        node.name: 0.0 if size == 1 else _floor(min(slack_ms, choice.profile.tail_ms(size)), 10)
        for node, choice, size in zip(chosen.service.nodes, chosen.choices, chosen.sizes, strict=True)
    }


def _weighed(chosen: _Chosen, waits_ms: Mapping[str, float]) -> dict[str, float]:
    """Budgets in proportion to what each module adds to the worst case."""
    weights = {
        node.name: waits_ms[node.name] + choice.profile.tail_ms(size)
        for node, choice, size in zip(chosen.service.nodes, chosen.choices, chosen.sizes, strict=True)
    }
    heaviest = max(weights.values())
    # A profile may say 0 ms; every module needs some budget all the same.
    return _split(chosen.service, {name: max(weight, heaviest / 1000, 1e-6) for name, weight in weights.items()})


def _split(service: _Service, weights: Mapping[str, float]) -> dict[str, float]:
    budgets_ms = split(service.nodes, weights, service.objective_ms)
    # Rounded down, so that rounding cannot bring a path above the objective.
    return {name: _floor(budget_ms, 1000) or budget_ms for name, budget_ms in budgets_ms.items()}


def _kept_budgets(service: _Service) -> dict[str, float] | None:
    """The budgets that are in force, if they are of this pipeline and this objective."""
    previous = service.previous
    if previous is None or previous.objective_ms != service.objective_ms:
        return None
    before = [(module.name, module.inputs) for module in previous.modules]
    now = [(node.name, () if node.parent is None else (node.parent,)) for node in service.nodes]
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


def _reason(module: _Module, choice: Choices, size: int) -> str:
    if module.fixed:
        return "fixed"
    saved = 1 - choice.cost_ms(size) / choice.cost_ms(module.smallest) if choice.cost_ms(module.smallest) else 0
    unmeasured = "" if size <= choice.profile.largest else f"; measured up to {choice.profile.largest} only"
    return f"{choice.cost_ms(size):.3g} ms an item, {saved:.0%} less than at {module.smallest}{unmeasured}"


def _floor(value: float, steps: int) -> float:
    """The value rounded down to a whole number of `1 / steps`."""
    return math.floor(value * steps) / steps

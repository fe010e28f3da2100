"""Chooses the batch size, the wait and the budget of every module of an instance, so that objectives hold.

First planner: all services of one instance, all of their modules on one device, which runs one batch at a time and
serves modules in turn. An item then waits at each module at most its `max_wait` for its batch and one cycle (one batch
of every module, its own the last of them), so the worst case of a way through a pipeline is

    sum over its modules of (max_wait + cycle)  <=  usable share * objective

as long as the device keeps up and an item's batch has room for it. Among the plans that hold this bound for every
service the cheapest in device time is taken: for the items that come in a second where all rates are known, so that
the modules that get most are served cheapest, and a size that never fills saves nothing: each counts as it usually
fills with the wait that its cycle leaves. What runs is kept unless another plan is clearly better, it would break an
objective, or the device cannot keep up with what arrives, so that noise in a profile moves nothing.

What modules run once for all of them is no matter here: profiles come with it counted once (`stems.py`), or as learnt.

A service of which a module is not measured yet serves nothing through it, so it holds up none of the others: its
modules that are measured keep their sizes, and count for the cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from framepilot.contract.desired import Batch, Pipeline
from framepilot.contract.observed import ObservedModule
from framepilot.resources.service import InferenceService
from framepilot_operator.planning.budgets import split
from framepilot_operator.planning.frontier import Choices, Point, frontier, point, thinned
from framepilot_operator.planning.load import Key, busy_share, loaded, spare
from framepilot_operator.planning.member import KEPT, Member, MemberModule, worst_case_ms
from framepilot_operator.planning.plan import ModulePlan, ServicePlan
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.rates import ItemRate
from framepilot_operator.planning.waiting import late, owners, rounded_down, usual_cost_ms, wait_ms

CLEARLY_BETTER: Final = 0.92
"""Another plan replaces the one that runs if its cost is this share of it or less."""
MOST_WEIGHED: Final = 64
"""So many plans are compared by how batches usually fill."""
SHORT: Final = 0.75
"""A wait that runs is replaced if it is less than this share of what it could be."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A service's part of what was chosen for all: its modules' choices and sizes, and the cycle of all.

    `kept`: they are what runs.
    """

    service: Member
    choices: tuple[Choices, ...]
    sizes: tuple[int, ...]
    cycle_ms: float
    kept: bool

    @property
    def feasible(self) -> bool:
        """Whether the objective holds, without waits."""
        return self.cycle_ms <= self.service.longest_cycle_ms * (KEPT if self.kept else 1)


def plan(
    services: Sequence[InferenceService],
    profiles: Mapping[Key, ModuleProfile],
    previous: Mapping[str, Pipeline],
    rates: Mapping[Key, ItemRate] | None = None,
    running: Mapping[str, Mapping[str, ObservedModule]] = MappingProxyType({}),
) -> dict[str, ServicePlan]:
    """What each service of one instance shall run there.

    Args:
        services: those that share the instance.
        profiles: by (service, module): of the version that serves, on the device of the instance.
        previous: by service: what the instance was told last.
        rates: by (service, module): items per second, where they are known.
        running: by service, and by name: the modules as their instance counts them.
    """
    rates = rates or {}
    every = [
        Member.of(service, profiles, previous.get(service.key), running.get(service.key, {})) for service in services
    ]
    members = [member for member in every if member.measured]
    others = [member for member in every if not member.measured]
    plans = {member.key: _unmeasured(member) for member in others}
    if members:
        plans |= _together(members, others, rates)
    return loaded(plans, profiles, rates)


def _together(
    members: Sequence[Member], others: Sequence[Member], rates: Mapping[Key, ItemRate]
) -> dict[str, ServicePlan]:
    """The plans of measured services; what is measured of the others runs beside them, as it is."""
    # Items per second and items cannot be weighed against each other: without all of the rates, each item counts alike.
    known = all((member.key, module.node.name) in rates for member in members for module in member.modules)
    choices = (
        *(choice for member in members for choice in _free(member, rates if known else {})),
        *(choice for member in others for choice in _given(member, rates if known else {})),
    )
    points = frontier(choices)
    shortest = points[0]
    # An objective that nothing holds is no reason to slow down those that can be held.
    longest_cycles_ms = [member.longest_cycle_ms for member in members if member.longest_cycle_ms >= shortest.cycle_ms]
    running = _running(members, choices)
    chosen, reason = shortest, "the shortest cycle there is"
    if longest_cycles_ms:
        longest_ms = min(longest_cycles_ms)
        fitting = thinned([each for each in points if each.cycle_ms <= longest_ms], MOST_WEIGHED)
        if running is not None and (running.cycle_ms > KEPT * longest_ms or late(members, running, shortest)):
            running = None
        chosen, reason = _chosen(fitting, running, choices, partial(usual_cost_ms, owners(members), choices))
    parts = _parts(members, choices, chosen, kept=chosen is running)
    return {part.service.key: _planned(part, reason, shortest.cycle_ms) for part in parts}


def _free(member: Member, rates: Mapping[Key, ItemRate]) -> Iterator[Choices]:
    """A measured service's modules, with all sizes that they may have."""
    for module in member.modules:
        if module.profile is not None:
            rate = rates.get((member.key, module.node.name))
            together = None if rate is None else rate.most_in(member.longest_cycle_ms / 1000)
            yield Choices(module.profile, module.sizes(module.profile), rate, together)


def _given(member: Member, rates: Mapping[Key, ItemRate]) -> Iterator[Choices]:
    """What is measured of a service that is not measured as a whole, with the sizes that it keeps meanwhile."""
    for module, size in zip(member.modules, member.kept_sizes, strict=True):
        if module.profile is not None:
            unknown = ItemRate(0.0) if rates else None
            yield Choices(module.profile, (size,), rates.get((member.key, module.node.name), unknown))


def _chosen(
    points: Sequence[Point], running: Point | None, choices: Sequence[Choices], cost_ms: Callable[[Point], float]
) -> tuple[Point, str]:
    """Of the points of a frontier the cheapest, or what runs if it may and is as good."""
    best = min(points, key=cost_ms)
    if running is None or cost_ms(best) < CLEARLY_BETTER * cost_ms(running):
        return best, "the least device time for an item that holds the objective"
    if best.cost_ms < running.cost_ms and busy_share(choices, running.sizes) > 1 - spare(choices):
        return best, "the device could hardly keep up with what runs"
    return running, "what runs is good enough"


def _parts(members: Sequence[Member], choices: Sequence[Choices], chosen: Point, *, kept: bool) -> list[_Chosen]:
    parts, start = [], 0
    for member in members:
        end = start + len(member.modules)
        parts.append(_Chosen(member, tuple(choices[start:end]), chosen.sizes[start:end], chosen.cycle_ms, kept))
        start = end
    return parts


def _planned(chosen: _Chosen, reason: str, shortest_cycle_ms: float) -> ServicePlan:
    return _feasible(chosen, reason) if chosen.feasible else _infeasible(chosen, shortest_cycle_ms)


def _unmeasured(service: Member) -> ServicePlan:
    """Go on with what runs, start what is new at its smallest size: running it is what measures it."""
    told = service.told
    sizes = service.kept_sizes
    waits_ms: dict[str, float] = {}
    for module, size in zip(service.modules, sizes, strict=True):
        before = told.get(module.node.name)
        waits_ms[module.node.name] = before.max_wait_ms if before is not None and before.size == size else 0
    budgets_ms = service.kept_budgets_ms or _split(service, dict.fromkeys(waits_ms, 1.0))
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
        needed_ms=service.depth * shortest_cycle_ms / service.usable,
    )


def _feasible(chosen: _Chosen, reason: str) -> ServicePlan:
    service, nodes = chosen.service, chosen.service.nodes
    told = service.told
    same_sizes = [told[node.name].size if node.name in told else None for node in nodes] == list(chosen.sizes)
    kept_budgets_ms = service.kept_budgets_ms if same_sizes else None
    planned_ms = _waits(chosen)
    waits_ms = service.told_waits_ms if kept_budgets_ms else planned_ms
    longest_ms = (KEPT if chosen.kept else 1) * service.usable_ms
    too_long = worst_case_ms(nodes, waits_ms, chosen.cycle_ms) > longest_ms
    if too_long or any(wait_ms < SHORT * planned_ms[name] for name, wait_ms in waits_ms.items()):
        waits_ms, kept_budgets_ms = planned_ms, None
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


def _running(services: Sequence[Member], choices: Sequence[Choices]) -> Point | None:
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
    """How long each module may wait for a batch to fill."""
    every = zip(chosen.service.nodes, chosen.choices, chosen.sizes, strict=True)
    return {node.name: wait_ms(chosen.service, choice, size, chosen.cycle_ms) for node, choice, size in every}


def _weighed(chosen: _Chosen, waits_ms: Mapping[str, float]) -> dict[str, float]:
    """Budgets in proportion to what each module adds to the worst case."""
    weights = {
        node.name: waits_ms[node.name] + choice.profile.tail_ms(size)
        for node, choice, size in zip(chosen.service.nodes, chosen.choices, chosen.sizes, strict=True)
    }
    heaviest = max(weights.values())
    # A profile may say 0 ms; every module needs some budget all the same.
    return _split(chosen.service, {name: max(weight, heaviest / 1000, 1e-6) for name, weight in weights.items()})


def _split(service: Member, weights: Mapping[str, float]) -> dict[str, float]:
    budgets_ms = split(service.nodes, weights, service.objective_ms)
    # Rounded down, so that rounding cannot bring a path above the objective.
    return {name: rounded_down(budget_ms, 1000) or budget_ms for name, budget_ms in budgets_ms.items()}


def _module_plans(
    modules: Sequence[MemberModule],
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


def _reason(module: MemberModule, choice: Choices, size: int) -> str:
    if module.fixed:
        return "fixed"
    saved = 1 - choice.cost_ms(size) / choice.cost_ms(module.smallest) if choice.cost_ms(module.smallest) else 0
    unmeasured = "" if size <= choice.profile.largest else f"; measured up to {choice.profile.largest} only"
    seldom = "" if choice.fills(size) else "; it seldom fills"
    return f"{choice.cost_ms(size):.3g} ms an item, {saved:.0%} less than at {module.smallest}{unmeasured}{seldom}"

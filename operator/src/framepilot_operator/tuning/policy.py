"""Whether what runs is changed to what the planner would choose now, and why; or why it stays. Pure.

The planner decides what is best for all modules of a device, from profiles and rates. The tuner gives it those that
hold now (`fit`, `arrivals`), which move only when the device or the streams clearly did; so noise reaches no plan. What
is left to say here is when: what is declared is followed at once; a change without which an objective would be missed
comes next, but no module is changed twice within a few seconds; one that only saves device time has to be better for
some seconds first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from framepilot.contract.desired import Batch
from framepilot_operator.planning.frontier import Choices, point
from framepilot_operator.planning.load import Key, busy_share, spare
from framepilot_operator.planning.member import KEPT, Member, worst_case_ms
from framepilot_operator.planning.plan import ModulePlan, ServicePlan
from framepilot_operator.planning.planner import plan
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.rates import ItemRate
from framepilot_operator.planning.stems import counted_once, stems
from framepilot_operator.tuning.fit import finding, scaled
from framepilot_operator.tuning.memory import Better, Look, TunerMemory

REST_S: Final = 5.0
"""A module whose batch was changed is left alone for so long."""
PATIENCE_S: Final = 3.0
"""So long another batch has to be the better one before it is taken for the sake of device time."""
SETTLING_S: Final = 10.0
"""So long an operator that has just begun leaves what it found, if it does not know better before."""


@dataclass(frozen=True, slots=True)
class Keep:
    """What runs stays: the plans that say so, and why."""

    what: ClassVar[str] = "what runs stays"
    plans: Mapping[str, ServicePlan]
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """Other batches are to run: the plans, and why."""

    what: ClassVar[str] = "the plan is followed"
    plans: Mapping[str, ServicePlan]
    reason: str


Decision = Keep | Change


def tune(look: Look, memory: TunerMemory | None, now: float) -> tuple[Decision, TunerMemory]:
    """What the services of an instance shall run, and what to remember; `now` is in Unix seconds."""
    known = (memory or TunerMemory.begun(look, now)).after(look, now)
    profiles = _profiles(look, known)
    rates = _rates(look, known)
    running = {service.key: look.observed.modules_of(service.key, uid) for service, uid in look.services}
    planned = plan([service for service, _ in look.services], profiles, look.told, rates, running)
    members = [
        Member.of(service, profiles, look.told.get(service.key), running[service.key]) for service, _ in look.services
    ]
    decision, known = _decided(look, known, _Question(planned, members, rates), now)
    known = replace(known, verdict=f"{decision.what}: {decision.reason}")
    return replace(decision, plans={key: _explained(each, known) for key, each in decision.plans.items()}), known


def _profiles(look: Look, known: TunerMemory) -> dict[Key, ModuleProfile]:
    """Those that hold now: of modules that ran as it was learnt, of the others with what they share counted once."""
    learnt = {
        key: scaled(profile, known.fits[key].believed)
        for key, profile in look.profiles.items()
        if key in known.fits and known.fits[key].windows
    }
    return counted_once(look.profiles, learnt, stems(look.services, look.observed))


def _rates(look: Look, known: TunerMemory) -> dict[Key, ItemRate]:
    """Those that are measured, and where none is, those that are declared."""
    seen = {key: each.rate for key, each in known.arrivals.items() if each.rate is not None}
    return {**look.rates, **seen}


@dataclass(frozen=True, slots=True)
class _Question:
    """What is to be decided: whether these plans take the place of what these services run, at these rates."""

    planned: Mapping[str, ServicePlan]
    members: Sequence[Member]
    rates: Mapping[Key, ItemRate]


def _decided(look: Look, known: TunerMemory, question: _Question, now: float) -> tuple[Decision, TunerMemory]:
    planned = question.planned
    before, basis = known.basis, _basis(look)
    known = replace(known, basis=basis)
    at_rest = replace(known, better=None, found=False)
    if not all(_admissible(member) for member in question.members):
        return Change(planned, "what is declared is new"), at_rest
    new = before is not None and before != basis
    if known.found and not new and _settling(look, known, now):
        return Keep(_held(planned, look), "how the device does is not known yet"), known
    others = _others(look, planned)
    if new or (before is None and not known.found):
        return Change(planned, "what is declared, or was measured at loading, is new"), at_rest
    if not others:
        return Keep(_held(planned, look), "nothing else would be better"), replace(known, better=None)
    if any(0 <= now - known.changed_at.get(key, -REST_S) < REST_S for key in others):
        return Keep(_held(planned, look), "it was changed a moment ago"), known
    pressing = _pressing(question)
    if pressing is not None:
        return Change(_because(planned, pressing), pressing), at_rest
    better = known.better
    if better is None or better.batches != others or now < better.since:
        better = Better(others, now)
    if now - better.since < PATIENCE_S:
        return Keep(_held(planned, look), "it has to be better for some seconds"), replace(known, better=better)
    return Change(_because(planned, "it takes less device time than what ran"), "it takes less device time"), at_rest


def _basis(look: Look) -> object:
    """What a plan follows at once when it changes: what is declared, and what was measured at loading."""
    declared = [
        (service.key, uid, service.spec.objective, service.spec.batching, service.spec.modules)
        for service, uid in look.services
    ]
    return declared, dict(look.profiles)


def _others(look: Look, planned: Mapping[str, ServicePlan]) -> dict[Key, Batch]:
    """The batches that are planned where something else runs."""
    running = {(key, module.name): module.batch for key, each in look.told.items() for module in each.modules}
    return {
        (key, module.name): module.batch
        for key, each in planned.items()
        for module in each.modules
        if running.get((key, module.name)) != module.batch
    }


def _admissible(member: Member) -> bool:
    """Whether what runs may go on: it is of these modules and this objective, and within what is declared."""
    told = member.told
    return member.kept_budgets_ms is not None and all(
        module.smallest <= told[module.node.name].size <= module.largest
        and told[module.node.name].limit == module.limit
        for module in member.modules
    )


def _settling(look: Look, known: TunerMemory, now: float) -> bool:
    """Whether it is too early to know how the device does with what runs."""
    if not 0 <= now - known.began_at < SETTLING_S:
        return False
    ran = [(module.service, module.name) for _, module in look.modules() if module.batches]
    return any(key in known.fits and not known.fits[key].windows for key in ran)


def _pressing(question: _Question) -> str | None:
    """Why what runs would miss an objective; None if it would not."""
    choices: list[Choices] = []
    for member in question.members:
        for module, size in zip(member.modules, member.kept_sizes, strict=True):
            if module.profile is not None:
                rate = question.rates.get((member.key, module.node.name))
                choices.append(Choices(module.profile, (size,), rate))
    sizes = [choice.sizes[0] for choice in choices]
    cycle_ms = point(choices, sizes).cycle_ms
    for member in question.members:
        if worst_case_ms(member.nodes, member.told_waits_ms, cycle_ms) > KEPT * member.usable_ms:
            return f"{member.key} would have missed its objective with what ran"
    if busy_share(choices, sizes) > 1 - spare(choices):
        return "the device could hardly keep up with what ran"
    return None


def _held(planned: Mapping[str, ServicePlan], look: Look) -> dict[str, ServicePlan]:
    """The plans, with the batches that run."""
    return {key: replace(each, modules=_as_told(each, look)) for key, each in planned.items()}


def _as_told(planned: ServicePlan, look: Look) -> tuple[ModulePlan, ...]:
    told = {module.name: module for module in look.told[planned.service].modules}
    return tuple(
        replace(module, batch=told[module.name].batch, budget_ms=told[module.name].budget_ms)
        for module in planned.modules
    )


def _because(planned: Mapping[str, ServicePlan], why: str) -> dict[str, ServicePlan]:
    return {key: replace(each, reason=f"{each.reason}: {why}") for key, each in planned.items()}


def _explained(planned: ServicePlan, known: TunerMemory) -> ServicePlan:
    """The plan, with what was found of each module."""
    modules = tuple(
        replace(module, tuning=finding(known.fits.get((planned.service, module.name)), module.batch.size))
        for module in planned.modules
    )
    return replace(planned, modules=modules)

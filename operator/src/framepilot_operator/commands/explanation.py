"""Why a service runs as it does: what is planned and for which reason, and what its modules could run instead. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from framepilot.contract.observed import ObservedState
from framepilot.scheduling.latency import batch_sizes
from framepilot_operator.commands.service_view import BatchingView, ConditionView, ServiceView
from framepilot_operator.planning.alternatives import Alternative, Objective, OnDevice, alternatives
from framepilot_operator.planning.planner import USABLE
from framepilot_operator.planning.profile import from_observed


@dataclass(frozen=True, slots=True)
class ModuleExplanation:
    """A module: the batch size in force and why, and all sizes that it may have; none if nothing is measured yet."""

    name: str
    model: str
    batch: int | None
    reason: str
    refused: str | None
    sizes: tuple[Alternative, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A service. `usable_ms` is what modules may take of the objective; `why` is the reason of the plan as a whole."""

    service: str
    instance: str | None
    objective_ms: float | None
    usable_ms: float | None
    why: str
    beside: tuple[str, ...]
    modules: tuple[ModuleExplanation, ...]
    wrong: tuple[ConditionView, ...]


def explained(service: ServiceView, states: Mapping[str, ObservedState]) -> Explanation:
    """The service, with what the instance that runs it says; `states` are those of all instances by name."""
    instance = next((name for name, state in sorted(states.items()) if _runs(state, service.key)), None)
    state = None if instance is None else states[instance]
    objectives = {} if state is None else _objectives(state)
    mine = objectives.get(service.key)
    plan = service.status.plan
    reasons = {} if plan is None else {module.name: module.reason for module in plan.modules}
    return Explanation(
        service=service.key,
        instance=instance,
        objective_ms=None if mine is None else mine.latency_ms,
        usable_ms=None if mine is None else USABLE * mine.latency_ms,
        why="nothing is planned yet" if plan is None else plan.reason,
        beside=tuple(sorted(objectives.keys() - {service.key})),
        modules=tuple(
            ModuleExplanation(
                name=module.name,
                model=f"{module.model.name} {module.model.version}",
                batch=service.reported(module.name).batch,
                reason=reasons.get(module.name, ""),
                refused=service.reported(module.name).refused,
                sizes=() if state is None else _sizes(state, service, module.name, objectives),
            )
            for module in service.spec.modules
        ),
        wrong=tuple(condition for condition in service.status.conditions if condition.bad),
    )


def _runs(state: ObservedState, key: str) -> bool:
    return any(each.service == key for each in state.pipelines)


def _objectives(state: ObservedState) -> dict[str, Objective]:
    return {
        each.service: Objective(each.objective_ms, _depth(state, each.service))
        for each in state.pipelines
        if each.objective_ms is not None
    }


def _depth(state: ObservedState, service: str) -> int:
    """How many modules stand on the longest way."""
    inputs = {each.name: each.inputs for each in state.modules if each.service == service}

    def depth(name: str) -> int:
        return 1 + max(map(depth, inputs.get(name, ())), default=0)

    return max(map(depth, inputs), default=1)


def _sizes(
    state: ObservedState, service: ServiceView, name: str, objectives: dict[str, Objective]
) -> tuple[Alternative, ...]:
    on_device = list(_on_device(state))
    module = next((each for each in on_device if (each.service, each.name) == (service.key, name)), None)
    declared = service.module(name)
    if module is None or declared is None or module.service not in objectives:
        return ()
    beside = [each for each in on_device if each is not module]
    return alternatives(module, _allowed(service.batching_of(declared), module), beside, objectives)


def _on_device(state: ObservedState) -> Iterator[OnDevice]:
    for module in state.modules:
        profile = from_observed(module.profile)
        if profile is not None:
            yield OnDevice(module.service, module.name, module.batch.size, profile)


def _allowed(batching: BatchingView, module: OnDevice) -> list[int]:
    """The sizes that were measured and are allowed, and the one in force."""
    if batching.declared != "auto":
        return [module.size]
    measured = batch_sizes(module.profile.largest)
    return sorted({module.size, *(size for size in measured if batching.min <= size <= batching.max)})

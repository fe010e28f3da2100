"""Why a service runs as it does: what is planned and for which reason, and what its modules could run instead. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from framepilot.contract.observed import ObservedModule, ObservedState
from framepilot.scheduling.latency import batch_sizes
from framepilot_operator.commands.counted_profiles import counted_profiles, measured_profiles
from framepilot_operator.commands.service_view import BatchingView, ConditionView, Json, ServiceView
from framepilot_operator.planning.alternatives import Alternative, Objective, OnDevice, alternatives
from framepilot_operator.planning.budgets import Node
from framepilot_operator.planning.load import Key
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.usable import usable
from framepilot_operator.telemetry.device_view import DeviceView, Value


@dataclass(frozen=True, slots=True)
class SharedBeginning:
    """So many nodes of a module's graph run once for it and for others, each `<namespace>/<service>/<module>`."""

    nodes: int
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LimitsExplanation:
    """The limits in force, None for what has none: the share, 0..1, of its device's time, the bytes of parameters, of
    which it has `parameter_bytes`, and how long a batch may hold the device."""

    share: float | None
    memory_bytes: int | None
    parameter_bytes: int
    time_ms: float | None


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The most items of a module that may run at once under the time limit, fewer than planned, and why; 0: it is
    stopped."""

    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class ModuleExplanation:
    """A module: the batch size in force and why, and all sizes that it may have; none if nothing is measured yet.

    `tuning`: what was found of it while it runs. `shared`: the parts of its beginning that run once for it and others,
    `alone` why there are none. `counted_once`: in `sizes`, of what it shares, others pay for their part. `held_back`:
    how the time limit holds it back, if it does.
    """

    name: str
    model: str
    batch: int | None
    reason: str
    tuning: str
    refused: str | None
    sizes: tuple[Alternative, ...]
    shared: tuple[SharedBeginning, ...] = ()
    alone: str | None = None
    counted_once: bool = False
    held_back: HeldBack | None = None


@dataclass(frozen=True, slots=True)
class DeviceExplanation:
    """How the device is used: the share of its time, and that of others than our instances; `doubts` are sentences
    on what sources do not agree on, or cannot be believed.
    """

    utilization: Value | None
    others: Value | None
    doubts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A service. `usable_ms` is what modules may take of the objective; `why` is the reason of the plan as a whole.

    `cost_per_hour`: its share of what its device costs, if that is known. `device` is None where no instance says on
    which it runs, `limits` where there are none.
    """

    service: str
    instance: str | None
    objective_ms: float | None
    usable_ms: float | None
    why: str
    cost_per_hour: str | None
    beside: tuple[str, ...]
    modules: tuple[ModuleExplanation, ...]
    wrong: tuple[ConditionView, ...]
    device: DeviceExplanation | None = None
    limits: LimitsExplanation | None = None


def explained(
    service: ServiceView,
    states: Mapping[str, ObservedState],
    devices: Mapping[str, DeviceView],
    declared: Mapping[str, Json],
) -> Explanation:
    """The service, with what the instance that runs it says.

    Args:
        service: the one that is asked about.
        states: what all instances say, by name.
        devices: how theirs are used, the same.
        declared: the services that are known, by `<namespace>/<name>`.
    """
    instance = next((name for name, state in sorted(states.items()) if _runs(state, service.key)), None)
    state = None if instance is None else states[instance]
    objectives = {} if state is None else _objectives(state)
    measured = {} if state is None else measured_profiles(state)
    profiles = {} if state is None else counted_profiles(state, declared)
    mine = objectives.get(service.key)
    running = {} if state is None else {each.name: each for each in state.modules if each.service == service.key}
    plan = service.status.plan
    planned = {} if plan is None else {module.name: module for module in plan.modules}
    return Explanation(
        service=service.key,
        instance=instance,
        objective_ms=None if mine is None else mine.latency_ms,
        usable_ms=None if mine is None else mine.usable_ms,
        why="nothing is planned yet" if plan is None else plan.reason,
        cost_per_hour=None if plan is None else plan.cost_per_hour,
        beside=tuple(sorted(objectives.keys() - {service.key})),
        modules=tuple(
            ModuleExplanation(
                name=module.name,
                model=f"{module.model.name} {module.model.version}",
                batch=service.reported(module.name).batch,
                reason=planned[module.name].reason if module.name in planned else "",
                tuning=planned[module.name].tuning if module.name in planned else "",
                refused=service.reported(module.name).refused,
                sizes=() if state is None else _sizes(_on_device(state, profiles), service, module.name, objectives),
                shared=() if state is None else _shared(state, f"{service.key}/{module.name}"),
                alone=running[module.name].alone if module.name in running else None,
                counted_once=profiles.get((service.key, module.name)) != measured.get((service.key, module.name)),
                held_back=_held_back(running.get(module.name)),
            )
            for module in service.spec.modules
        ),
        wrong=tuple(condition for condition in service.status.conditions if condition.bad),
        device=_device(devices.get(instance or "")),
        limits=None if state is None else _limits(state, service.key),
    )


def _limits(state: ObservedState, key: str) -> LimitsExplanation | None:
    mine = next(each for each in state.pipelines if each.service == key)
    if mine.limit is None and mine.memory_limit_bytes is None and mine.time_limit_ms is None:
        return None
    return LimitsExplanation(mine.limit, mine.memory_limit_bytes, mine.parameter_bytes, mine.time_limit_ms)


def _held_back(module: ObservedModule | None) -> HeldBack | None:
    found = None if module is None else module.time_limit
    return None if found is None or found.reason is None else HeldBack(found.size, found.reason)


def _device(view: DeviceView | None) -> DeviceExplanation | None:
    return None if view is None else DeviceExplanation(view.utilization, view.others, view.doubts)


def _runs(state: ObservedState, key: str) -> bool:
    return any(each.service == key for each in state.pipelines)


def _objectives(state: ObservedState) -> dict[str, Objective]:
    return {
        each.service: _objective(each.objective_ms, state.modules_of(each.service, each.uid))
        for each in state.pipelines
        if each.objective_ms is not None
    }


def _objective(latency_ms: float, running: Mapping[str, ObservedModule]) -> Objective:
    def depth(name: str) -> int:
        return 1 + max((depth(each) for each in running[name].inputs if each in running), default=0)

    nodes = [Node(name, module.inputs[0] if module.inputs else None) for name, module in running.items()]
    return Objective(latency_ms, latency_ms * usable(latency_ms, nodes, running), max(map(depth, running), default=1))


def _shared(state: ObservedState, module: str) -> tuple[SharedBeginning, ...]:
    return tuple(
        SharedBeginning(stage.nodes, tuple(other for other in stage.modules if other != module))
        for stage in state.stages
        if module in stage.modules
    )


def _sizes(
    on_device: Sequence[OnDevice], service: ServiceView, name: str, objectives: dict[str, Objective]
) -> tuple[Alternative, ...]:
    module = next((each for each in on_device if (each.service, each.name) == (service.key, name)), None)
    declared = service.module(name)
    if module is None or declared is None or module.service not in objectives:
        return ()
    beside = [each for each in on_device if each is not module]
    return alternatives(module, _allowed(service.batching_of(declared), module), beside, objectives)


def _on_device(state: ObservedState, profiles: Mapping[Key, ModuleProfile]) -> list[OnDevice]:
    """The modules that are measured."""
    return [
        OnDevice(module.service, module.name, module.batch.size, profiles[module.service, module.name])
        for module in state.modules
        if (module.service, module.name) in profiles
    ]


def _allowed(batching: BatchingView, module: OnDevice) -> list[int]:
    """The sizes that were measured and are allowed, and the one in force."""
    if batching.declared != "auto":
        return [module.size]
    measured = batch_sizes(module.profile.largest)
    return sorted({module.size, *(size for size in measured if batching.min <= size <= batching.max)})

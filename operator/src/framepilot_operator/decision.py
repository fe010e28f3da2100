"""What a pass decides: from a snapshot to what shall change and what is known of every service. Pure.

What is wrong with one service becomes its condition, and changes nothing for the others: not even for those that share
its instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from framepilot.contract.desired import DesiredSink, DesiredState, Pipeline
from framepilot.contract.observed import ObservedState
from framepilot.resources.profile import ModelProfile
from framepilot_operator.cluster.port import (
    Change,
    DeclaredService,
    Instance,
    RemoveInstance,
    RemoveRuntime,
    Snapshot,
    WriteDesired,
    WriteProfile,
    WriteRuntime,
)
from framepilot_operator.devices import shortage
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.placement import Group, Placement, placed
from framepilot_operator.planning.desired import desired_pipeline, desired_state, pipeline_of, same_content
from framepilot_operator.planning.load import Key, priced
from framepilot_operator.planning.measured import profiles_in_force, recorded, unrecorded
from framepilot_operator.planning.plan import ServicePlan
from framepilot_operator.planning.planner import plan
from framepilot_operator.planning.profile import ModuleProfile
from framepilot_operator.planning.rates import ItemRate, item_rates
from framepilot_operator.runtime_status import RuntimeFacts
from framepilot_operator.status import Facts
from framepilot_operator.tuning.memory import Look, TunerMemory
from framepilot_operator.tuning.policy import tune

Sinks = Callable[[str], tuple[DesiredSink, ...]]
"""The sinks that the pipeline of a service (`<namespace>/<name>`) gets besides the declared ones."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a pass decided: what to change (for which services; none: for nobody in particular), what is known of every
    service and runtime, and of which services nothing could be decided and why. `tuning`: by instance, what the next
    pass is to be told."""

    changes: tuple[tuple[tuple[str, ...], Change], ...]
    facts: tuple[Facts, ...]
    runtimes: tuple[RuntimeFacts, ...]
    failures: Mapping[str, str]
    tuning: Mapping[Owner, TunerMemory]


@dataclass(frozen=True, slots=True)
class _Decided:
    """What was decided for one instance: its services' plans, its document (None: as it is), what failed, and what is
    remembered of it."""

    plans: Mapping[str, ServicePlan]
    document: DesiredState | None
    failures: Mapping[str, str]
    memory: TunerMemory | None


@dataclass(frozen=True, slots=True)
class _Tuner:
    """What is remembered of one instance, and the time, Unix seconds."""

    memory: TunerMemory | None
    now: float

    def plans(
        self, group: Group, instance: Instance | None, snapshot: Snapshot
    ) -> tuple[Mapping[str, ServicePlan], TunerMemory | None]:
        """What an instance's services shall run, and what is remembered now."""
        told = _told(group, None if instance is None else instance.desired)
        if instance is None or instance.observed is None:
            return plan([service.resource for service in group.services], {}, told), self.memory
        decision, memory = tune(_look(group, instance, instance.observed, told, snapshot), self.memory, self.now)
        return decision.plans, memory


def no_sinks(_: str) -> tuple[DesiredSink, ...]:
    """Only the declared sinks."""
    return ()


def decide(
    snapshot: Snapshot,
    now: float,
    failed: Mapping[str, str] | None = None,
    extra_sinks: Sinks = no_sinks,
    tuning: Mapping[Owner, TunerMemory] | None = None,
) -> Wanted:
    """What to change, and what is known of every service and runtime.

    Args:
        snapshot: everything that is known.
        now: Unix seconds.
        failed: by service, what could not be done.
        extra_sinks: what pipelines get besides the declared sinks.
        tuning: what the pass before told.
    """
    failed, tuning = failed or {}, tuning or {}
    remembered: dict[Owner, TunerMemory] = {}
    placement = placed(snapshot)
    instances = {instance.owner: instance for instance in snapshot.instances}
    changes: list[tuple[tuple[str, ...], Change]] = [(_affected(each), each) for each in placement.runtimes]
    facts: list[Facts] = []
    failures: dict[str, str] = {}
    pending: set[Owner] = set()
    for group in placement.groups:
        instance = instances.get(group.owner)
        tuner = _Tuner(tuning.get(group.owner), now)
        decided = _decided(group, instance, snapshot, placement.kept, extra_sinks, tuner)
        if decided.memory is not None:
            remembered[group.owner] = decided.memory
        members = tuple(service.key for service in group.services)
        failures.update(decided.failures)
        if decided.document is not None:
            changes.append((members, WriteDesired(group.owner, decided.document)))
            pending.add(group.owner)
        facts.extend(
            Facts(
                service=service,
                plan=decided.plans.get(service.key),
                instance=instance,
                beside=tuple(key for key in members if key != service.key),
                pending=decided.document is not None,
                shortage=None if instance is None else shortage(instance, snapshot),
                problem=_problem(service, snapshot),
                failure=decided.failures.get(service.key) or failed.get(service.key),
            )
            for service in group.services
        )
    facts.extend(_unplaced(snapshot, placement, failed))
    changes.extend(((), change) for change in _measurements(snapshot, remembered.values()))
    changes.extend(((), RemoveInstance(owner)) for owner in placement.abandoned)
    runtimes = tuple(_runtimes(snapshot, placement, instances, pending))
    return Wanted(tuple(changes), tuple(facts), runtimes, failures, remembered)


def _affected(change: WriteRuntime | RemoveRuntime) -> tuple[str, ...]:
    if isinstance(change, RemoveRuntime):
        return ()
    return tuple(f"{change.runtime.metadata.namespace}/{name}" for name in change.services)


def _decided(
    group: Group,
    instance: Instance | None,
    snapshot: Snapshot,
    kept: frozenset[str],
    extra_sinks: Sinks,
    tuner: _Tuner,
) -> _Decided:
    """What an instance shall run. A service for which that cannot be said runs on as it does."""
    previous = None if instance is None else instance.desired
    observed = None if instance is None else instance.observed
    plans: Mapping[str, ServicePlan] = {}
    failures: dict[str, str] = {}
    memory = tuner.memory
    try:
        plans, memory = tuner.plans(group, instance, snapshot)
    except Exception as error:  # noqa: BLE001 whatever is wrong with one instance, the others are served
        failures = dict.fromkeys((service.key for service in group.services), _undecided(error))
    pipelines: list[Pipeline] = []
    for service in group.services:
        before = pipeline_of(previous, service.key, service.uid)
        pipeline = before
        if service.key in plans:
            try:
                pipeline = desired_pipeline(
                    service.resource,
                    service.uid,
                    plans[service.key],
                    previous,
                    observed,
                    extra_sinks(service.key),
                )
            except Exception as error:  # noqa: BLE001 the same for one service
                failures[service.key] = _undecided(error)
        if pipeline is not None:
            pipelines.append(pipeline)
    strangers = [each for each in (previous.pipelines if previous else ()) if each.service in kept]
    pipelines.extend(strangers)
    # What is not planned uses the device as well, nobody knows how much.
    plans = priced(plans, None if instance is None or strangers else instance.price_per_hour)
    document = desired_state(group.uid, pipelines)
    as_it_is = instance is not None and instance.current and same_content(previous, document)
    return _Decided(plans, None if as_it_is or not pipelines else document, failures, memory)


def _told(group: Group, desired: DesiredState | None) -> dict[str, Pipeline]:
    told = {service.key: pipeline_of(desired, service.key, service.uid) for service in group.services}
    return {key: pipeline for key, pipeline in told.items() if pipeline is not None}


def _look(
    group: Group, instance: Instance, observed: ObservedState, told: Mapping[str, Pipeline], snapshot: Snapshot
) -> Look:
    profiles: dict[Key, ModuleProfile] = {}
    rates: dict[Key, ItemRate] = {}
    records: dict[Key, ModelProfile] = {}
    for service in group.services:
        modules = observed.modules_of(service.key, service.uid)
        rates |= item_rates(service.resource, modules)
        for module in modules.values():
            if (kept := recorded(module, observed, snapshot.profiles)) is not None:
                records[service.key, module.name] = kept
        profiles |= profiles_in_force(service.resource, service.uid, observed, snapshot.profiles)
    view = snapshot.device_views.get(instance.owner)
    return Look(
        services=tuple((service.resource, service.uid) for service in group.services),
        told=told,
        observed=observed,
        at=0.0 if instance.observed_at is None else instance.observed_at,
        profiles=profiles,
        rates=rates,
        recorded=records,
        others=None if view is None or view.others is None else view.others.value,
    )


def _undecided(error: Exception) -> str:
    return f"no desired state could be made: {type(error).__name__}: {error}"


def _problem(service: DeclaredService, snapshot: Snapshot) -> str | None:
    return "; ".join(each.message for each in snapshot.problems if each.service == service.key) or None


def _unplaced(snapshot: Snapshot, placement: Placement, failed: Mapping[str, str]) -> Iterator[Facts]:
    """Services that no instance shall run now; one may run them still."""
    for service in snapshot.services:
        if service.key in placement.waiting or service.key in placement.unplaced:
            yield Facts(
                service=service,
                instance=next(
                    (each for each in snapshot.instances if pipeline_of(each.desired, service.key, service.uid)), None
                ),
                pending=service.key in placement.waiting,
                unplaced=placement.unplaced.get(service.key),
                problem=_problem(service, snapshot),
                failure=failed.get(service.key),
            )


def _runtimes(
    snapshot: Snapshot, placement: Placement, instances: Mapping[Owner, Instance], pending: set[Owner]
) -> Iterator[RuntimeFacts]:
    members = {group.owner: group.services for group in placement.groups}
    removed = {change.key for change in placement.runtimes if isinstance(change, RemoveRuntime)}
    for runtime in snapshot.runtimes:
        owner = Owner.runtime(runtime.key)
        if runtime.key in removed:
            continue
        yield RuntimeFacts(
            runtime=runtime,
            services=tuple(service.resource.metadata.name for service in members.get(owner, ())),
            instance=instances.get(owner),
            pending=owner in pending,
        )


def _measurements(snapshot: Snapshot, remembered: Iterable[TunerMemory]) -> Iterator[WriteProfile]:
    """What was measured and is not recorded, and what is recorded and holds no more; each resource once."""
    found: dict[str, ModelProfile] = {}
    for instance in snapshot.instances:
        if instance.observed is not None:
            for profile in unrecorded(instance.owner.namespace, instance.observed, snapshot.profiles):
                found.setdefault(profile.key, profile)
    for record in (record for memory in remembered for record in memory.records.values()):
        if record.anew is not None:
            found.setdefault(record.anew.key, record.anew)
    return map(WriteProfile, found.values())

"""Which instance runs which services. Pure.

A service has an instance of its own, or shares that of a runtime: of the one that it names, or, if it asks for a device
and does not refuse to share, of an implicit one. A device goes to one pod only, so of two services that ask for one on
the same node the second would wait for ever; therefore those of a namespace that ask for the same, in templates that
are the same, run in one pod. An implicit runtime is declared by the operator and goes with the last of its services.

A service that reserves more of a device than the others leave has no place on it (`reserves`).

A service that cannot be placed, or whose newest declaration cannot be used, stays where it runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from framepilot.resources.meta import ObjectMeta
from framepilot.resources.runtime import InferenceRuntime, InferenceRuntimeSpec
from framepilot.resources.service import InferenceService
from framepilot.resources.template import InstanceTemplate
from framepilot_operator.cluster.port import (
    DeclaredRuntime,
    DeclaredService,
    Instance,
    RemoveRuntime,
    Snapshot,
    WriteRuntime,
)
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.reserves import too_much


@dataclass(frozen=True, slots=True)
class Group:
    """The services that one instance runs, by name. `uid` is its owner's."""

    owner: Owner
    uid: str
    services: tuple[DeclaredService, ...]


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Why a service has no place: a word for a condition, and what happened and what to do about it."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Placement:
    """Where everything runs.

    Attributes:
        groups: what each instance runs.
        waiting: services whose implicit runtime is not there yet.
        unplaced: services that have no place.
        kept: services that stay where they run, as nothing better is known of them.
        abandoned: owners of instances that run nothing any more.
        runtimes: what to change of the implicit runtimes.
    """

    groups: tuple[Group, ...] = ()
    waiting: frozenset[str] = frozenset()
    unplaced: Mapping[str, Unplaced] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    abandoned: tuple[Owner, ...] = ()
    runtimes: tuple[WriteRuntime | RemoveRuntime, ...] = ()


def placed(snapshot: Snapshot) -> Placement:
    """Where the services of a snapshot run."""
    runtimes = {runtime.key: runtime for runtime in snapshot.runtimes}
    groups: dict[Owner, list[DeclaredService]] = {}
    shared: dict[str, list[DeclaredService]] = {}
    waiting: set[str] = set()
    unplaced: dict[str, Unplaced] = {}
    for service in sorted(snapshot.services, key=lambda each: each.key):
        runtime = runtime_of(service.resource, service.devices)
        if runtime is None:
            groups[Owner.service(service.key)] = [service]
            continue
        if service.resource.spec.placement.runtime_ref is None:
            shared.setdefault(runtime, []).append(service)
        if runtime in runtimes:
            groups.setdefault(Owner.runtime(runtime), []).append(service)
        elif runtime in shared:
            waiting.add(service.key)
        else:
            unplaced[service.key] = _no_runtime(runtime)
    unusable = _unusable(snapshot)
    told = {instance.owner: instance.desired for instance in snapshot.instances}
    declared = unusable | {service.key for service in snapshot.services}
    for owner, services in [*groups.items()]:
        refused = too_much(services, told.get(owner), declared)
        unplaced |= {key: Unplaced("ReserveTooLarge", message) for key, message in refused.items()}
        groups[owner] = [service for service in services if service.key not in refused]
    groups = {owner: services for owner, services in groups.items() if services}
    kept = unusable | waiting | unplaced.keys()
    staying = {instance.owner for instance in snapshot.instances if _runs_any(instance, kept)}
    return Placement(
        groups=tuple(
            Group(owner, _uid(owner, services, runtimes), tuple(services)) for owner, services in sorted(groups.items())
        ),
        waiting=frozenset(waiting),
        unplaced=unplaced,
        kept=frozenset(kept),
        abandoned=tuple(
            instance.owner
            for instance in snapshot.instances
            if instance.owner not in groups and instance.owner not in staying
        ),
        runtimes=(
            *_declared(shared, runtimes),
            *(
                RemoveRuntime(runtime.key, runtime.uid)
                for runtime in snapshot.runtimes
                if runtime.implicit and Owner.runtime(runtime.key) not in groups.keys() | staying
            ),
        ),
    )


def implicit_name(template: InstanceTemplate) -> str:
    """The name of the runtime that services of this template share: the same for the same template."""
    content = json.dumps(template.model_dump(mode="json", by_alias=True, exclude_defaults=True), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    device = next(iter(template.devices)).rpartition("/")[2].lower()
    plain = "".join(letter if letter.isalnum() else "-" for letter in device)[:20].strip("-")
    return f"{plain}-{digest}"


def runtime_of(service: InferenceService, devices: Mapping[str, int]) -> str | None:
    """The key of the runtime whose instance a service shares, which need not be there; None: it shares none.

    `devices` are those that an instance of its own would take for itself alone.
    """
    namespace, spec = service.metadata.namespace, service.spec
    if spec.placement.runtime_ref is not None:
        return f"{namespace}/{spec.placement.runtime_ref.name}"
    if devices and not spec.placement.isolated:
        return f"{namespace}/{implicit_name(spec.template)}"
    return None


def _no_runtime(key: str) -> Unplaced:
    namespace, _, name = key.partition("/")
    return Unplaced(
        "RuntimeNotFound",
        f"there is no InferenceRuntime '{name}' in namespace '{namespace}'; declare it, or remove placement.runtimeRef",
    )


def _unusable(snapshot: Snapshot) -> set[str]:
    """Services that are declared in a way that cannot be used."""
    return {problem.service for problem in snapshot.problems if problem.service is not None} - {
        service.key for service in snapshot.services
    }


def _runs_any(instance: Instance, services: set[str]) -> bool:
    return instance.desired is not None and any(pipeline.service in services for pipeline in instance.desired.pipelines)


def _uid(owner: Owner, services: list[DeclaredService], runtimes: Mapping[str, DeclaredRuntime]) -> str:
    return services[0].uid if owner == Owner.service(owner.key) else runtimes[owner.key].uid


def _declared(
    shared: Mapping[str, list[DeclaredService]], runtimes: Mapping[str, DeclaredRuntime]
) -> Iterator[WriteRuntime]:
    """The implicit runtimes that are not as they shall be. That one lists a service too many does no harm."""
    for key, services in shared.items():
        spec = InferenceRuntimeSpec(template=services[0].resource.spec.template)
        there = runtimes.get(key)
        # A runtime that somebody else declared under this name is theirs.
        if there is not None and (not there.implicit or _is_as_wanted(there, spec, services)):
            continue
        namespace, _, name = key.partition("/")
        yield WriteRuntime(
            InferenceRuntime(metadata=ObjectMeta(name=name, namespace=namespace), spec=spec),
            {service.resource.metadata.name: service.uid for service in services},
        )


def _is_as_wanted(runtime: DeclaredRuntime, spec: InferenceRuntimeSpec, services: list[DeclaredService]) -> bool:
    return runtime.resource.spec == spec and {service.uid for service in services} <= runtime.services

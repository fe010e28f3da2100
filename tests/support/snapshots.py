"""Snapshots of one service with one instance, written by hand: what a test does not name has an ordinary value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from framepilot.contract.desired import Batch, DesiredModule, DesiredState, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import (
    Device,
    FrameCounts,
    Latencies,
    ObservedBatch,
    ObservedModule,
    ObservedPipeline,
    ObservedRollout,
    ObservedState,
    ObservedStream,
    ServingModel,
    StreamState,
)
from framepilot.resources.meta import ObjectMeta
from framepilot.resources.parse import parse_resource
from framepilot.resources.placement import Placement, RuntimeRef
from framepilot.resources.runtime import InferenceRuntime, InferenceRuntimeSpec
from framepilot.resources.service import InferenceService
from framepilot.resources.template import InstanceTemplate, Resources
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.port import DeclaredRuntime, DeclaredService, Instance, Snapshot
from framepilot_operator.manifests.owner import Owner

SERVICE = "cameras/lobby"
OWNER = Owner.service(SERVICE)
UID = "u"
DIGEST = "a" * 64


def resource(batching: Mapping[str, object] | None = None, version: str = "1") -> InferenceService:
    module: dict[str, Any] = {"name": "face", "model": {"name": "centerface", "version": version}}
    if batching is not None:
        module["batching"] = batching
    document = {
        "apiVersion": "framepilot.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": "lobby", "namespace": "cameras"},
        "spec": {
            "streams": [{"name": "door", "source": "file:///door.mp4"}],
            "modules": [module],
            "models": {"store": "file:///models"},
            "objective": {"latency": "200ms"},
        },
    }
    found = parse_resource(document, "test")
    assert isinstance(found, InferenceService)
    return found


def declared(
    changed_at: float = 0, batching: Mapping[str, object] | None = None, version: str = "1"
) -> DeclaredService:
    return DeclaredService(resource(batching, version), uid=UID, generation=1, changed_at=changed_at)


def named(name: str) -> DeclaredService:
    """A service of another name, with that as its uid."""
    service = declared()
    metadata = service.resource.metadata.model_copy(update={"name": name})
    return replace(service, uid=name, resource=service.resource.model_copy(update={"metadata": metadata}))


def _changed(service: DeclaredService, **spec: object) -> DeclaredService:
    changed = service.resource.spec.model_copy(update=spec)
    return replace(service, resource=service.resource.model_copy(update={"spec": changed}))


def within(runtime: str, service: DeclaredService, reserve: str | None = None) -> DeclaredService:
    """The service, placed in this runtime."""
    return _changed(service, placement=Placement(runtime_ref=RuntimeRef(name=runtime), reserve=reserve))


def wanting(service: DeclaredService, resource: str = "example.com/gpu", *, isolated: bool = False) -> DeclaredService:
    """The service, in need of a device."""
    template = InstanceTemplate(resources=Resources(limits={resource: "1"}))
    changed = _changed(service, template=template, placement=Placement(isolated=isolated))
    return replace(changed, devices=template.devices)


def declared_runtime(name: str) -> DeclaredRuntime:
    metadata = ObjectMeta(name=name, namespace="cameras")
    resource = InferenceRuntime(metadata=metadata, spec=InferenceRuntimeSpec())
    return DeclaredRuntime(resource, uid=f"uid of {name}", generation=1)


def desired(
    generation: int = 1,
    size: int = 8,
    version: str = "1",
    attempt: int = 1,
    streams: Sequence[DesiredStream] = (DesiredStream(name="door", source="file:///door.mp4"),),
) -> DesiredState:
    module = DesiredModule(
        name="face",
        budget_ms=100,
        batch=Batch(size=size),
        model=ModelRef(name="centerface", version=version, uri=f"file:///models/centerface/{version}"),
        attempt=attempt,
    )
    pipeline = Pipeline(service=SERVICE, uid=UID, objective_ms=200, streams=tuple(streams), modules=(module,))
    return DesiredState(instance_uid=UID, generation=generation, pipelines=(pipeline,))


def stream(
    state: StreamState = StreamState.RUNNING,
    epoch: int | None = 1000,
    *,
    name: str = "door",
    ingested: int = 0,
    in_flight: int = 0,
    reason: str | None = None,
) -> ObservedStream:
    return ObservedStream(
        service=SERVICE,
        name=name,
        source="file:///door.mp4",
        state=state,
        epoch=epoch,
        reason=reason,
        frames=FrameCounts(ingested=ingested, delivered=ingested - in_flight, in_flight=in_flight),
    )


def module(
    size: int = 8, batch_since: float = 0, version: str = "1", rollout: ObservedRollout | None = None, items: int = 0
) -> ObservedModule:
    return ObservedModule(
        service=SERVICE,
        name="face",
        model="centerface",
        serving=ServingModel(version=version, sha256=DIGEST),
        batch=ObservedBatch(size=size, since=batch_since),
        rollout=rollout,
        items=items,
        latency_ms=Latencies(p50=5, p99=9),
    )


def rollout(
    state: RolloutState,
    candidate: str,
    since: float,
    *,
    attempt: int = 1,
    reason: str | None = None,
    pause_ms: float | None = None,
) -> ObservedRollout:
    return ObservedRollout(
        state=state, candidate=candidate, since=since, attempt=attempt, reason=reason, pause_ms=pause_ms
    )


def observed(
    generation: int = 1,
    modules: Sequence[ObservedModule] = (),
    streams: Sequence[ObservedStream] = (),
    started_at: float = 0,
) -> ObservedState:
    return ObservedState(
        instance_uid=UID,
        generation=generation,
        started_at=started_at,
        device=Device(device_class="cpu", name="a CPU"),
        pipelines=(ObservedPipeline(service=SERVICE, uid=UID),),
        modules=tuple(modules),
        streams=tuple(streams),
    )


def snapshot(
    service: DeclaredService | None = None, wanted: DesiredState | None = None, state: ObservedState | None = None
) -> Snapshot:
    instance = Instance(OWNER, UID, desired=wanted or desired(), observed=state, running=True)
    return Snapshot(services=(service or declared(),), instances=(instance,))

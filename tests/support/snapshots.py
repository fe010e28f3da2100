"""Snapshots of one service with one instance, written by hand: what a test does not name has an ordinary value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from framepilot.contract.desired import Batch, DesiredModule, DesiredState, DesiredStream, ModelRef, Pipeline
from framepilot.contract.observed import (
    Device,
    FrameCounts,
    Latencies,
    ObservedBatch,
    ObservedModule,
    ObservedRollout,
    ObservedState,
    ObservedStream,
    ServingModel,
    StreamState,
)
from framepilot.resources.parse import parse_resource
from framepilot.resources.service import InferenceService
from framepilot.rollouts.state import RolloutState
from framepilot_operator.cluster.port import DeclaredService, Instance, Snapshot

SERVICE = "cameras/lobby"
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
    return DeclaredService(resource(batching, version), uid="u", generation=1, changed_at=changed_at)


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
    pipeline = Pipeline(service=SERVICE, objective_ms=200, streams=tuple(streams), modules=(module,))
    return DesiredState(instance_uid="u", generation=generation, pipelines=(pipeline,))


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
        instance_uid="u",
        generation=generation,
        started_at=started_at,
        device=Device(device_class="cpu", name="a CPU"),
        modules=tuple(modules),
        streams=tuple(streams),
    )


def snapshot(
    service: DeclaredService | None = None, wanted: DesiredState | None = None, state: ObservedState | None = None
) -> Snapshot:
    instance = Instance(
        name=SERVICE, uid="u", service=SERVICE, desired=wanted or desired(), observed=state, running=True
    )
    return Snapshot(services=(service or declared(),), instances=(instance,))

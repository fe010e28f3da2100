"""A cluster in memory: it keeps what it is told, and its instances answer at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from framepilot.contract.desired import DesiredState
from framepilot.contract.observed import ObservedPipeline, ProfilePoint
from framepilot.resources.meta import Condition
from framepilot.resources.profile import ModelProfile
from framepilot_operator.cluster.port import (
    Change,
    ClusterError,
    DeclaredRuntime,
    DeclaredService,
    Instance,
    Problem,
    RemoveInstance,
    RemoveRuntime,
    RuntimeStatus,
    ServiceStatus,
    Snapshot,
    Status,
    Trigger,
    WriteDesired,
    WriteProfile,
    WriteRuntime,
)
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.telemetry.device_view import DeviceView
from support.snapshots import module, observed


class MemoryCluster:
    """Keeps what it is told; instances answer at once, and serve what they shall."""

    def __init__(self, *services: DeclaredService, runtimes: Sequence[DeclaredRuntime] = ()) -> None:
        self.services = {service.key: service for service in services}
        self.runtimes = {runtime.key: runtime for runtime in runtimes}
        self.instances: dict[Owner, Instance] = {}
        self.profiles: list[ModelProfile] = []
        self.problems: tuple[Problem, ...] = ()
        self.device_views: dict[Owner, DeviceView] = {}
        self.broken: set[Owner] = set()
        self.applied: list[Change] = []
        self.reported: list[Status] = []
        self.looks = 0
        self.pending: asyncio.Queue[Trigger | None] = asyncio.Queue()

    async def observe(self) -> Snapshot:
        self.looks += 1
        return Snapshot(
            services=tuple(self.services.values()),
            runtimes=tuple(self.runtimes.values()),
            instances=tuple(self.instances.values()),
            profiles=tuple(self.profiles),
            problems=self.problems,
            device_views=self.device_views,
        )

    async def apply(self, change: Change) -> None:
        match change:
            case WriteDesired(owner, document):
                if owner in self.broken:
                    raise ClusterError("the disk is full")
                self.instances[owner] = self._running(owner, document)
            case RemoveInstance(owner):
                del self.instances[owner]
            case WriteProfile(profile):
                self.profiles.append(profile)
            case WriteRuntime(runtime, services):
                uids = frozenset(services.values())
                self.runtimes[runtime.key] = DeclaredRuntime(runtime, f"uid of {runtime.key}", 1, True, uids)
            case RemoveRuntime(key):
                del self.runtimes[key]
        self.applied.append(change)

    async def report(self, status: Status) -> None:
        self.reported.append(status)
        match status:
            case ServiceStatus(key, reported):
                service = self.services[key]
                resource = service.resource.model_copy(update={"status": reported})
                self.services[key] = replace(service, resource=resource)
            case RuntimeStatus(key, reported):
                runtime = self.runtimes[key]
                resource = runtime.resource.model_copy(update={"status": reported})
                self.runtimes[key] = replace(runtime, resource=resource)

    async def triggers(self) -> AsyncIterator[Trigger]:
        while (trigger := await self.pending.get()) is not None:
            yield trigger

    @property
    def writes(self) -> int:
        return len(self.applied) + len(self.reported)

    def runs(self, owner: Owner) -> list[str]:
        """The services that an instance runs."""
        desired = self.instances[owner].desired
        return [] if desired is None else [pipeline.service for pipeline in desired.pipelines]

    def condition(self, key: str, type_: str) -> Condition:
        conditions = self.services[key].resource.status.conditions
        return next(each for each in conditions if each.type == type_)

    def _running(self, owner: Owner, document: DesiredState) -> Instance:
        before = self.instances.get(owner)
        generation = 1 if before is None or before.desired is None else before.desired.generation + 1
        stored = document.model_copy(update={"generation": generation})
        points = tuple(ProfilePoint(batch=size, p50_ms=5 + size, p99_ms=6 + size) for size in (1, 8, 16, 32))
        modules = [
            module(each.batch.size, version=each.model.version).model_copy(
                update={"service": pipeline.service, "name": each.name, "profile": points}
            )
            for pipeline in stored.pipelines
            for each in pipeline.modules
        ]
        state = observed(generation, modules=modules).model_copy(
            update={
                "instance_uid": stored.instance_uid,
                "pipelines": tuple(ObservedPipeline(service=each.service, uid=each.uid) for each in stored.pipelines),
            }
        )
        return Instance(owner, stored.instance_uid, stored, state, running=True)

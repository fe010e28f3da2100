"""The loop against a cluster in memory: what it writes, and above all what it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

from framepilot.contract.desired import DesiredSink
from framepilot.contract.observed import ProfilePoint
from framepilot.resources.profile import ModelProfile
from framepilot_operator.cluster.port import (
    Change,
    ClusterError,
    DeclaredService,
    Instance,
    Problem,
    RemoveInstance,
    ServiceStatus,
    Snapshot,
    Trigger,
    TriggerKind,
    WriteDesired,
    WriteProfile,
)
from framepilot_operator.loop import Memory, no_sinks, reconcile, run
from support.eventually import eventually_async
from support.snapshots import SERVICE, declared, module, observed


class MemoryCluster:
    """Keeps what it is told; instances answer at once, and serve what they shall."""

    def __init__(self, *services: DeclaredService) -> None:
        self.services = {service.key: service for service in services}
        self.instances: dict[str, Instance] = {}
        self.profiles: list[ModelProfile] = []
        self.problems: tuple[Problem, ...] = ()
        self.broken: set[str] = set()
        self.applied: list[Change] = []
        self.reported: list[ServiceStatus] = []
        self.looks = 0
        self.pending: asyncio.Queue[Trigger | None] = asyncio.Queue()

    async def observe(self) -> Snapshot:
        self.looks += 1
        return Snapshot(
            tuple(self.services.values()), tuple(self.instances.values()), tuple(self.profiles), self.problems
        )

    async def apply(self, change: Change) -> None:
        match change:
            case WriteDesired(name, service, document):
                if service in self.broken:
                    raise ClusterError("the disk is full")
                before = self.instances.get(name)
                generation = 1 if before is None or before.desired is None else before.desired.generation + 1
                stored = document.model_copy(update={"generation": generation})
                points = tuple(ProfilePoint(batch=size, p50_ms=5 + size, p99_ms=6 + size) for size in (1, 8, 16, 32))
                modules = [
                    module(each.batch.size, version=each.model.version).model_copy(
                        update={"service": service, "profile": points}
                    )
                    for each in stored.pipelines[0].modules
                ]
                state = observed(generation, modules=modules).model_copy(update={"instance_uid": stored.instance_uid})
                self.instances[name] = Instance(name, stored.instance_uid, service, stored, state, running=True)
            case RemoveInstance(name):
                del self.instances[name]
            case WriteProfile(profile):
                self.profiles.append(profile)
        self.applied.append(change)

    async def report(self, status: ServiceStatus) -> None:
        self.reported.append(status)
        service = self.services[status.service]
        resource = service.resource.model_copy(update={"status": status.status})
        self.services[status.service] = replace(service, resource=resource)

    async def triggers(self) -> AsyncIterator[Trigger]:
        while (trigger := await self.pending.get()) is not None:
            yield trigger

    @property
    def writes(self) -> int:
        return len(self.applied) + len(self.reported)


async def settle(cluster: MemoryCluster) -> Memory:
    """Passes until one changes nothing."""
    memory = await reconcile(cluster, lambda: 1000, Memory())
    while memory.changed:
        memory = await reconcile(cluster, lambda: 1000, memory)
    return await reconcile(cluster, lambda: 1000, memory)


def named(name: str) -> DeclaredService:
    service = declared()
    metadata = service.resource.metadata.model_copy(update={"name": name})
    return replace(service, uid=name, resource=service.resource.model_copy(update={"metadata": metadata}))


async def test_a_declared_service_gets_an_instance_a_profile_and_a_status():
    cluster = MemoryCluster(declared())
    await settle(cluster)
    instance = cluster.instances[SERVICE]
    assert instance.desired is not None
    assert instance.desired.pipelines[0].modules[0].batch.size == 32
    assert len(cluster.profiles) == 1
    conditions = {each.type: each.status.value for each in cluster.services[SERVICE].resource.status.conditions}
    assert conditions == {
        "Ready": "True",
        "Reconciling": "False",
        "Stalled": "False",
        "Feasible": "True",
        "ModelsReady": "True",
    }


async def test_a_pass_with_nothing_to_change_writes_nothing():
    cluster = MemoryCluster(named("one"), named("two"))
    await settle(cluster)
    writes = cluster.writes
    for now in (2000, 3000, 4000):
        memory = await reconcile(cluster, lambda now=now: now, Memory())
        assert not memory.changed
    assert cluster.writes == writes


async def test_an_instance_whose_workload_is_not_as_declared_is_written_again():
    cluster = MemoryCluster(declared())
    await settle(cluster)
    writes = len(cluster.applied)
    cluster.instances[SERVICE] = replace(cluster.instances[SERVICE], current=False)
    await settle(cluster)
    assert isinstance(cluster.applied[writes], WriteDesired)
    assert cluster.instances[SERVICE].current


async def test_one_service_that_fails_does_not_stop_the_others():
    cluster = MemoryCluster(named("bad"), named("good"))
    cluster.broken = {"cameras/bad"}
    memory = await settle(cluster)
    assert "cameras/good" in cluster.instances
    assert memory.failures == {"cameras/bad": "the disk is full"}
    reconciling = {each.type: each for each in cluster.services["cameras/bad"].resource.status.conditions}[
        "Reconciling"
    ]
    assert (reconciling.reason, "the disk is full" in reconciling.message) == ("Retrying", True)
    cluster.broken = set()
    assert (await settle(cluster)).failures == {}
    assert "cameras/bad" in cluster.instances


async def test_a_service_that_cannot_be_decided_does_not_stop_the_others():
    cluster = MemoryCluster(named("bad"), named("good"))

    def sinks(service: str) -> tuple[DesiredSink, ...]:
        twice = DesiredSink(name="twice", type="stdout")
        return (twice, twice) if service == "cameras/bad" else no_sinks(service)

    memory = await reconcile(cluster, lambda: 1000, Memory(), sinks)
    assert list(cluster.instances) == ["cameras/good"]
    assert "the name 'twice' is used 2 times" in memory.failures["cameras/bad"]


async def test_an_instance_whose_service_is_gone_is_removed():
    cluster = MemoryCluster(declared())
    await settle(cluster)
    cluster.services.clear()
    await settle(cluster)
    assert cluster.applied[-1] == RemoveInstance(SERVICE)
    assert not cluster.instances


async def test_a_problem_of_a_declaration_is_a_condition_of_its_service():
    cluster = MemoryCluster(declared())
    await settle(cluster)
    applied = len(cluster.applied)
    cluster.problems = (Problem("lobby.yaml", "min is larger than max", SERVICE), Problem("other.yaml", "is not YAML"))
    await settle(cluster)
    stalled = {each.type: each for each in cluster.services[SERVICE].resource.status.conditions}["Stalled"]
    assert stalled.message.endswith("min is larger than max")
    assert len(cluster.applied) == applied


async def test_many_triggers_lead_to_few_passes_and_the_end_of_triggers_ends_the_loop():
    cluster = MemoryCluster(declared())
    loop = asyncio.create_task(run(cluster, lambda: 1000))
    await eventually_async(lambda: cluster.services[SERVICE].resource.status.observed_generation == 1)
    await eventually_async(lambda: cluster.profiles)
    for _ in range(1000):
        cluster.pending.put_nowait(Trigger(TriggerKind.TICK))
    await eventually_async(cluster.pending.empty)
    cluster.pending.put_nowait(None)
    await loop
    assert cluster.looks < 100


async def test_a_cluster_that_cannot_be_observed_is_looked_at_again_and_said_once(caplog):
    class Unreachable(MemoryCluster):
        async def observe(self) -> Snapshot:
            if self.looks < 3:
                self.looks += 1
                raise ClusterError("there is no answer")
            return await super().observe()

    caplog.set_level(logging.INFO)
    cluster = Unreachable(declared())
    loop = asyncio.create_task(run(cluster, lambda: 1000))
    for looks in (1, 2, 3):
        await eventually_async(lambda looks=looks: cluster.looks == looks)
        cluster.pending.put_nowait(Trigger(TriggerKind.TICK))
    await eventually_async(lambda: SERVICE in cluster.instances)
    cluster.pending.put_nowait(None)
    await loop
    assert len([each for each in caplog.messages if "there is no answer" in each]) == 1
    assert "the cluster can be observed again" in caplog.messages

"""The loop against a cluster in memory: what it writes, and above all what it does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from framepilot.contract.desired import DesiredSink, DesiredState
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
    TriggerKind,
    WriteDesired,
    WriteProfile,
    WriteRuntime,
)
from framepilot_operator.decision import no_sinks
from framepilot_operator.loop import Memory, reconcile, run
from framepilot_operator.manifests.owner import Owner
from support.eventually import eventually_async
from support.snapshots import OWNER, SERVICE, declared, declared_runtime, module, named, observed, wanting, within


class MemoryCluster:
    """Keeps what it is told; instances answer at once, and serve what they shall."""

    def __init__(self, *services: DeclaredService, runtimes: Sequence[DeclaredRuntime] = ()) -> None:
        self.services = {service.key: service for service in services}
        self.runtimes = {runtime.key: runtime for runtime in runtimes}
        self.instances: dict[Owner, Instance] = {}
        self.profiles: list[ModelProfile] = []
        self.problems: tuple[Problem, ...] = ()
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


async def settle(cluster: MemoryCluster) -> Memory:
    """Passes until one changes nothing."""
    memory = await reconcile(cluster, lambda: 1000, Memory())
    while memory.changed:
        memory = await reconcile(cluster, lambda: 1000, memory)
    return await reconcile(cluster, lambda: 1000, memory)


async def test_a_declared_service_gets_an_instance_a_profile_and_a_status():
    cluster = MemoryCluster(declared())
    await settle(cluster)
    instance = cluster.instances[OWNER]
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
        "StreamsReady": "Unknown",
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
    cluster.instances[OWNER] = replace(cluster.instances[OWNER], current=False)
    await settle(cluster)
    assert isinstance(cluster.applied[writes], WriteDesired)
    assert cluster.instances[OWNER].current


async def test_one_service_that_fails_does_not_stop_the_others():
    cluster = MemoryCluster(named("bad"), named("good"))
    cluster.broken = {Owner.service("cameras/bad")}
    memory = await settle(cluster)
    assert Owner.service("cameras/good") in cluster.instances
    assert memory.failures == {"cameras/bad": "the disk is full"}
    reconciling = {each.type: each for each in cluster.services["cameras/bad"].resource.status.conditions}[
        "Reconciling"
    ]
    assert (reconciling.reason, "the disk is full" in reconciling.message) == ("Retrying", True)
    cluster.broken = set()
    assert (await settle(cluster)).failures == {}
    assert Owner.service("cameras/bad") in cluster.instances


async def test_a_service_that_cannot_be_decided_does_not_stop_the_others():
    cluster = MemoryCluster(named("bad"), named("good"))

    def sinks(service: str) -> tuple[DesiredSink, ...]:
        twice = DesiredSink(name="twice", type="stdout")
        return (twice, twice) if service == "cameras/bad" else no_sinks(service)

    memory = await reconcile(cluster, lambda: 1000, Memory(), sinks)
    assert list(cluster.instances) == [Owner.service("cameras/good")]
    assert "the name 'twice' is used 2 times" in memory.failures["cameras/bad"]


async def test_an_instance_whose_service_is_gone_is_removed():
    cluster = MemoryCluster(declared())
    await settle(cluster)
    cluster.services.clear()
    await settle(cluster)
    assert cluster.applied[-1] == RemoveInstance(OWNER)
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
    await eventually_async(lambda: OWNER in cluster.instances)
    cluster.pending.put_nowait(None)
    await loop
    assert len([each for each in caplog.messages if "there is no answer" in each]) == 1
    assert "the cluster can be observed again" in caplog.messages


SHARED = Owner.runtime("cameras/shared")


async def test_services_that_name_a_runtime_run_in_its_instance_and_a_pass_without_news_writes_nothing():
    cluster = MemoryCluster(within("shared", named("one")), within("shared", named("two")), named("three"))
    cluster.runtimes["cameras/shared"] = declared_runtime("shared")
    await settle(cluster)
    assert cluster.runs(SHARED) == ["cameras/one", "cameras/two"]
    assert cluster.instances[SHARED].uid == "uid of shared"
    assert cluster.runs(Owner.service("cameras/three")) == ["cameras/three"]
    for key in ("cameras/one", "cameras/two"):
        assert cluster.condition(key, "Ready").status.value == "True"
        assert cluster.services[key].resource.status.instances == ("shared",)
    status = cluster.runtimes["cameras/shared"].resource.status
    assert status.services == ("one", "two")
    assert [each.status.value for each in status.conditions] == ["True", "False", "False"]
    writes = cluster.writes
    assert not (await reconcile(cluster, lambda: 2000, Memory())).changed
    assert cluster.writes == writes


async def test_one_service_of_an_instance_comes_goes_and_fails_without_touching_the_others():
    cluster = MemoryCluster(within("shared", named("one")), runtimes=[declared_runtime("shared")])
    await settle(cluster)
    before = cluster.instances[SHARED].desired.pipelines[0]

    def sinks(service: str) -> tuple[DesiredSink, ...]:
        twice = DesiredSink(name="twice", type="stdout")
        return (twice, twice) if service == "cameras/bad" else no_sinks(service)

    for name in ("bad", "two"):
        cluster.services[f"cameras/{name}"] = within("shared", named(name))
    memory = await reconcile(cluster, lambda: 1000, Memory(), sinks)
    assert "the name 'twice' is used 2 times" in memory.failures["cameras/bad"]
    assert cluster.runs(SHARED) == ["cameras/one", "cameras/two"]
    del cluster.services["cameras/two"]
    await reconcile(cluster, lambda: 1000, memory, sinks)
    assert cluster.runs(SHARED) == ["cameras/one"]
    assert cluster.instances[SHARED].desired.pipelines[0] == before


async def test_a_service_whose_newest_declaration_cannot_be_used_goes_on_in_the_instance_that_it_shares():
    cluster = MemoryCluster(
        within("shared", named("one")), within("shared", named("two")), runtimes=[declared_runtime("shared")]
    )
    await settle(cluster)
    del cluster.services["cameras/two"]
    cluster.problems = (Problem("two", "it is from the future", "cameras/two"),)
    applied = len(cluster.applied)
    await settle(cluster)
    assert len(cluster.applied) == applied
    assert cluster.runs(SHARED) == ["cameras/one", "cameras/two"]


async def test_a_service_without_its_runtime_says_so_and_stays_where_it_runs():
    cluster = MemoryCluster(named("one"))
    await settle(cluster)
    cluster.services["cameras/one"] = within("missing", cluster.services["cameras/one"])
    cluster.services["cameras/two"] = within("missing", named("two"))
    await settle(cluster)
    for key, ready in (("cameras/one", "True"), ("cameras/two", "False")):
        stalled = cluster.condition(key, "Stalled")
        assert (stalled.status.value, stalled.reason) == ("True", "RuntimeNotFound")
        assert "there is no InferenceRuntime 'missing' in namespace 'cameras'" in stalled.message
        assert cluster.condition(key, "Ready").status.value == ready
        assert cluster.condition(key, "Reconciling").status.value == "False"
    assert list(cluster.instances) == [Owner.service("cameras/one")]


async def test_services_that_ask_for_the_same_device_come_to_share_an_implicit_runtime():
    cluster = MemoryCluster(wanting(named("one")), wanting(named("two")))
    await settle(cluster)
    (runtime,) = cluster.runtimes.values()
    assert runtime.services == {"one", "two"}
    assert cluster.runs(Owner.runtime(runtime.key)) == ["cameras/one", "cameras/two"]
    del cluster.services["cameras/one"]
    await settle(cluster)
    assert cluster.runs(Owner.runtime(runtime.key)) == ["cameras/two"]
    cluster.services.clear()
    await settle(cluster)
    assert (cluster.instances, cluster.runtimes) == ({}, {})


async def test_a_service_that_is_declared_again_in_a_shared_instance_is_not_ready_by_what_the_one_before_did():
    cluster = MemoryCluster(
        within("shared", named("one")), within("shared", named("two")), runtimes=[declared_runtime("shared")]
    )
    await settle(cluster)
    before = cluster.instances[SHARED]
    cluster.services["cameras/two"] = replace(within("shared", named("two")), uid="another")
    await reconcile(cluster, lambda: 1000, Memory())
    assert cluster.condition("cameras/two", "Ready").status.value == "False"
    one, two = cluster.instances[SHARED].desired.pipelines
    assert one == before.desired.pipelines[0]
    assert two.modules[0].fallback is None
    await settle(cluster)
    assert cluster.condition("cameras/two", "Ready").status.value == "True"

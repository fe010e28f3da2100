"""The loop against a cluster in memory: what it writes, and above all what it does not."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from itertools import count

from framepilot.contract.desired import DesiredSink
from framepilot.contract.observed import BatchCount, ObservedPipeline
from framepilot_operator.cluster.port import (
    ClusterError,
    Problem,
    RemoveInstance,
    Snapshot,
    Trigger,
    TriggerKind,
    WriteDesired,
)
from framepilot_operator.decision import no_sinks
from framepilot_operator.loop import Memory, reconcile, run
from framepilot_operator.manifests.owner import Owner
from framepilot_operator.telemetry.device_view import DeviceView, Value
from framepilot_operator.telemetry.measurement import Quantity
from support.eventually import eventually_async
from support.memory_cluster import MemoryCluster
from support.snapshots import OWNER, SERVICE, UID, declared, declared_runtime, named, wanting, within


async def settle(cluster: MemoryCluster) -> Memory:
    """Passes until one changes nothing."""
    memory = await reconcile(cluster, lambda: 1000, Memory())
    while memory.changed:
        memory = await reconcile(cluster, lambda: 1000, memory)
    return await reconcile(cluster, lambda: 1000, memory)


async def test_what_a_pass_remembers_of_a_device_reaches_the_next_and_is_forgotten_with_its_instance():
    cluster = MemoryCluster(declared())
    memory = await settle(cluster)
    assert set(memory.tuning) == {OWNER}
    cluster.services.clear()
    memory = await reconcile(cluster, lambda: 1000, memory)
    assert not memory.tuning


async def test_batches_that_became_slower_are_followed_with_one_write_and_said():
    cluster = MemoryCluster(declared())
    memory = await settle(cluster)
    before = len(cluster.applied)
    counts: dict[int, BatchCount] = {}
    seconds = count(1001.0)

    def ran(times: float) -> None:
        """A second in which batches took so many times as long as measured at loading."""
        instance = cluster.instances[OWNER]
        assert instance.observed is not None
        (face,) = instance.observed.modules
        size = face.batch.size
        known = counts.get(size, BatchCount(size=size, count=0, seconds=0))
        counts[size] = BatchCount(
            size=size, count=known.count + 10, seconds=known.seconds + 10 * times * (5 + size) / 1000
        )
        face = face.model_copy(update={"batches": tuple(counts.values())})
        state = instance.observed.model_copy(update={"modules": (face,)})
        cluster.instances[OWNER] = replace(instance, observed=state, observed_at=next(seconds))

    async def passes(number: int, times: float, memory: Memory) -> Memory:
        for _ in range(number):
            ran(times)
            now = cluster.instances[OWNER].observed_at
            assert now is not None
            memory = await reconcile(cluster, lambda at=now: at, memory)
        return memory

    memory = await passes(20, 1.0, memory)
    first = cluster.instances[OWNER].desired
    assert first is not None
    assert len(cluster.applied) == before
    memory = await passes(20, 6.0, memory)
    then = cluster.instances[OWNER].desired
    assert then is not None
    assert len(cluster.applied) == before + 1
    assert then.pipelines[0].modules[0].batch.size < first.pipelines[0].modules[0].batch.size
    plan = cluster.services[SERVICE].resource.status.plan
    assert plan is not None
    assert plan.modules[0].tuning == "batches take over 5 times as long as alone on the device"
    assert "would have missed its objective" in plan.reason
    writes = cluster.writes
    await passes(20, 6.1, memory)
    assert cluster.writes == writes


async def test_what_is_known_of_the_device_from_elsewhere_says_why_batches_are_slower():
    cluster = MemoryCluster(declared())
    memory = await settle(cluster)
    busy = Value(0.4, "Prometheus", 1.0)
    cluster.device_views = {OWNER: DeviceView(values={Quantity.UTILIZATION: busy}, others=busy)}
    count_ = 0
    for now in range(1001, 1012):
        instance = cluster.instances[OWNER]
        (face,) = instance.observed.modules
        count_ += 10
        batches = (BatchCount(size=face.batch.size, count=count_, seconds=count_ * 6 * (5 + face.batch.size) / 1000),)
        state = instance.observed.model_copy(update={"modules": (face.model_copy(update={"batches": batches}),)})
        cluster.instances[OWNER] = replace(instance, observed=state, observed_at=float(now))
        memory = await reconcile(cluster, lambda now=now: float(now), memory)
    plan = cluster.services[SERVICE].resource.status.plan
    assert plan is not None
    assert (plan.modules[0].tuning or "").endswith("; something else uses the device")


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
        "ObjectiveMet": "Unknown",
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


async def test_noise_in_how_frames_keep_to_the_objective_writes_nothing():
    cluster = MemoryCluster(declared())
    await settle(cluster)
    for attainments, status in (((0.991, 1.0, 0.99), "True"), ((0.97, 0.962, 0.98, 0.9895), "False")):
        keep(cluster, attainments[0])
        await settle(cluster)
        writes = cluster.writes
        for attainment in attainments:
            keep(cluster, attainment)
            await settle(cluster)
        assert cluster.condition(SERVICE, "ObjectiveMet").status.value == status
        assert cluster.writes == writes


def keep(cluster: MemoryCluster, attainment: float) -> None:
    """Such a share of the lobby's frames keeps to its objective from now on."""
    instance = cluster.instances[OWNER]
    pipelines = [ObservedPipeline(service=SERVICE, uid=UID, objective_ms=200, attainment=attainment)]
    state = instance.observed.model_copy(update={"pipelines": tuple(pipelines)})
    cluster.instances[OWNER] = replace(instance, observed=state)


async def test_every_decision_is_logged_with_its_reason_once(caplog):
    caplog.set_level(logging.DEBUG, "framepilot_operator.loop")
    memory = await settle(MemoryCluster(declared()))
    assert memory.tuning[OWNER].verdict == "what runs stays: nothing else would be better"
    said = [each.getMessage() for each in caplog.records if each.levelname == "DEBUG"]
    assert said == [
        f"{OWNER}: the plan is followed: what is declared, or was measured at loading, is new",
        f"{OWNER}: what runs stays: nothing else would be better",
    ]


async def test_what_is_only_learnt_is_told_when_it_has_lasted_or_with_what_else_there_is_to_tell():
    cluster = MemoryCluster(declared())
    await settle(cluster)

    def takes(times: float) -> None:
        """So many times as long as so far."""
        instance = cluster.instances[OWNER]
        (face,) = instance.observed.modules
        points = tuple(
            point.model_copy(update={"p50_ms": times * point.p50_ms, "p99_ms": times * point.p99_ms})
            for point in face.profile
        )
        state = instance.observed.model_copy(update={"modules": (face.model_copy(update={"profile": points}),)})
        cluster.instances[OWNER] = replace(instance, observed=state)

    def told() -> str | None:
        plan = cluster.services[SERVICE].resource.status.plan
        return None if plan is None else plan.latency

    async def look(at: float, memory: Memory) -> Memory:
        return await reconcile(cluster, lambda: at, memory)

    first, writes = told(), cluster.writes
    memory = await look(1000, Memory())
    takes(0.4)
    memory = await look(1010, memory)
    memory = await look(1609, memory)
    assert (told(), cluster.writes) == (first, writes)
    memory = await look(1610, memory)
    assert told() != first
    assert cluster.writes == writes + 1
    # What was so for a moment is forgotten.
    second = told()
    takes(2.5)
    memory = await look(1700, memory)
    takes(0.4)
    memory = await look(1800, memory)
    takes(2.5)
    memory = await look(2350, memory)
    assert told() == second
    # Something else is to be told.
    keep(cluster, 0.5)
    await look(2360, memory)
    assert told() == first


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


def reserved(cluster: MemoryCluster) -> dict[str, float]:
    return {each.service: each.reserve for each in cluster.instances[SHARED].desired.pipelines}


async def test_a_reserve_that_does_not_fit_beside_the_others_is_refused_and_they_run_on_as_they_do():
    services = [within("shared", named(name), reserve) for name, reserve in (("one", "40%"), ("two", "30%"))]
    cluster = MemoryCluster(*services, runtimes=[declared_runtime("shared")])
    await settle(cluster)
    before = cluster.instances[SHARED].desired
    cluster.services["cameras/a-new-one"] = within("shared", named("a-new-one"), "50%")
    await settle(cluster)
    assert cluster.instances[SHARED].desired == before
    stalled = cluster.condition("cameras/a-new-one", "Stalled")
    assert (stalled.status.value, stalled.reason) == ("True", "ReserveTooLarge")
    assert "cameras/one 40% and cameras/two 30% hold already" in stalled.message
    assert "lower its placement.reserve to 25%" in stalled.message
    assert cluster.condition("cameras/one", "Stalled").status.value == "False"
    cluster.services["cameras/a-new-one"] = within("shared", named("a-new-one"), "25%")
    await settle(cluster)
    assert reserved(cluster) == {"cameras/a-new-one": 0.25, "cameras/one": 0.4, "cameras/two": 0.3}
    assert cluster.condition("cameras/a-new-one", "Stalled").status.value == "False"


async def test_one_that_wants_more_than_is_left_keeps_what_it_has_until_there_is_room():
    services = [within("shared", named(name), reserve) for name, reserve in (("one", "40%"), ("two", "30%"))]
    cluster = MemoryCluster(*services, runtimes=[declared_runtime("shared")])
    await settle(cluster)
    cluster.services["cameras/one"] = within("shared", named("one"), "80%")
    await settle(cluster)
    assert reserved(cluster) == {"cameras/one": 0.4, "cameras/two": 0.3}
    stalled = cluster.condition("cameras/one", "Stalled")
    assert (stalled.status.value, stalled.reason) == ("True", "ReserveTooLarge")
    assert "goes on where it runs" in stalled.message
    assert cluster.condition("cameras/one", "Ready").status.value == "True"
    cluster.services["cameras/two"] = within("shared", named("two"))
    await settle(cluster)
    assert reserved(cluster) == {"cameras/one": 0.8, "cameras/two": 0}
    assert cluster.condition("cameras/one", "Stalled").status.value == "False"
    writes = cluster.writes
    assert not (await reconcile(cluster, lambda: 2000, Memory())).changed
    assert cluster.writes == writes


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

"""The loop on one machine: real files, real child processes, real HTTP."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from framepilot.contract.desired import DesiredState
from framepilot_operator.cluster.local import LocalCluster
from framepilot_operator.cluster.port import (
    Change,
    ClusterError,
    Instance,
    RuntimeStatus,
    ServiceStatus,
    Snapshot,
    Status,
)
from framepilot_operator.loop import run
from framepilot_operator.manifests.owner import Owner
from support.eventually import eventually_async
from support.imitated_app import COMMAND
from support.resources import runtime_document, service_document

KEY = "cameras/lobby"
LOBBY = Owner.service(KEY)
SHARED = Owner.runtime("cameras/shared")


class Counted(LocalCluster):
    """A local cluster that remembers its latest snapshot, and how often it was told to write."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.latest = Snapshot()
        self.looks = 0
        self.writes: list[Change | Status] = []

    async def observe(self) -> Snapshot:
        self.latest = await super().observe()
        self.looks += 1
        return self.latest

    async def apply(self, change: Change) -> None:
        self.writes.append(change)
        await super().apply(change)

    async def report(self, status: Status) -> None:
        self.writes.append(status)
        await super().report(status)

    def instance(self, owner: Owner = LOBBY) -> Instance | None:
        return next((instance for instance in self.latest.instances if instance.owner == owner), None)

    def condition(self, type_: str) -> str:
        service = next(service for service in self.latest.services if service.key == KEY)
        found = {condition.type: condition for condition in service.resource.status.conditions}
        return f"{found[type_].status.value} {found[type_].reason}" if type_ in found else "missing"

    def settled(self) -> bool:
        """Whether what was decided is in force, and reported."""
        instance = self.instance()
        if instance is None or instance.observed is None or instance.desired is None:
            return False
        up_to_date = instance.observed.generation == instance.desired.generation
        return up_to_date and self.condition("Ready") == "True Serving" and self.condition("Reconciling")[:5] == "False"


class World:
    """A folder with one declaration, and the state of an operator."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "lobby.yaml"
        self.state = folder / "state"
        self.document = service_document()
        self.others: list[dict[str, Any]] = []
        self.save()

    def save(self) -> None:
        beside = self.file.with_suffix(".new")
        with beside.open("w") as file:
            YAML(typ="safe").dump_all([self.document, *self.others], file)
        beside.replace(self.file)

    @property
    def instance_folder(self) -> Path:
        return self.state / "instances" / "cameras.lobby"

    def drained(self) -> int:
        marks = self.state / "instances" / "drained"
        return len(marks.read_text().splitlines()) if marks.exists() else 0

    @asynccontextmanager
    async def operator(self, **options: Any) -> AsyncIterator[Counted]:
        results = os.open(self.state.parent / "results", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        cluster = Counted(
            [self.file], self.state, command=COMMAND, stdout=results, jitter=lambda: 0.0, tick_s=0.1, **options
        )
        loop = asyncio.create_task(run(cluster))
        try:
            yield cluster
        finally:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop
            await cluster.close()
            os.close(results)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def settled(cluster: Counted, also: Callable[[], bool] = lambda: True) -> None:
    def done() -> bool:
        return cluster.settled() and also()

    await eventually_async(done, f"everything to settle; the latest look saw {cluster.latest}")


def module(cluster: Counted, name: str = "face") -> Any:
    instance = cluster.instance()
    assert instance is not None
    assert instance.observed is not None
    return next(module for module in instance.observed.modules if module.name == name)


def crash(world: World) -> None:
    address = (world.instance_folder / "cache" / "listen").read_text()
    with suppress(urllib.error.URLError, ConnectionError):
        urllib.request.urlopen(f"http://{address}/crash", timeout=30)


async def test_a_declared_service_comes_to_run_as_declared(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        instance = cluster.instance()
        assert instance is not None
        assert instance.desired is not None
        pipeline = instance.desired.pipelines[0]
        assert pipeline.streams[0].source == f"file://{world.file.parent}/videos/door.mp4"
        assert pipeline.sinks[0].path == world.file.parent / "events.jsonl"
        assert [each.model.version for each in pipeline.modules] == ["1", "1"]
        assert cluster.condition("ModelsReady") == "True Serving"
    assert (world.state.parent / "results").read_text() == "a result\n"


async def test_the_measured_profile_raises_the_batch_and_is_kept(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster, lambda: module(cluster).batch.size > 1)
        assert cluster.condition("Feasible") == "True Planned"
        assert list((world.state / "profiles").glob("cameras.centerface-*.yaml"))


async def test_an_edit_of_the_batch_reaches_the_same_process(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        started_at = cluster.instance().observed.started_at
        world.document["spec"]["modules"][0]["batching"] = {"mode": "Fixed", "size": 5}
        world.save()
        await settled(cluster, lambda: module(cluster).batch.size == 5)
        assert cluster.instance().observed.started_at == started_at
        assert cluster.instance().restarts == 0


async def test_a_version_that_served_becomes_the_fallback(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        world.document["spec"]["modules"][0]["model"]["version"] = "2"
        world.save()
        await settled(cluster, lambda: module(cluster).serving.version == "2")
        await settled(cluster, lambda: cluster.instance().desired.pipelines[0].modules[0].fallback.version == "2")


async def test_a_refused_version_is_reported_and_the_old_one_goes_on(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        world.document["spec"]["modules"][0]["model"]["version"] = "broken"
        world.save()
        await settled(cluster, lambda: cluster.condition("ModelsReady") == "False ModelRefused")
        status = cluster.latest.services[0].resource.status.modules[0]
        assert (status.serving, status.refused) == ("1", "broken")
        assert cluster.instance().desired.pipelines[0].modules[0].fallback.version == "1"


async def test_a_dead_child_comes_back_in_the_right_state(world: World) -> None:
    async with world.operator() as cluster:
        world.document["spec"]["modules"][0]["batching"] = {"mode": "Fixed", "size": 5}
        world.save()
        await settled(cluster, lambda: module(cluster).batch.size == 5)
        started_at = cluster.instance().observed.started_at
        await asyncio.to_thread(crash, world)
        await settled(cluster, lambda: cluster.instance().observed.started_at > started_at)
        assert cluster.instance().restarts == 1
        assert module(cluster).batch.size == 5
        assert '"crashing as told"' in (world.instance_folder / "log.1").read_text()


async def test_the_reason_of_a_death_is_told(world: World) -> None:
    reasons: set[str | None] = set()

    def died() -> bool:
        reasons.update(instance.reason for instance in cluster.latest.instances)
        return "ended with status 3; its last words: crashing as told" in reasons

    async with world.operator() as cluster:
        await settled(cluster)
        await asyncio.to_thread(crash, world)
        await eventually_async(died, "the death to be observed")


async def test_an_app_that_cannot_be_started_is_told_and_the_end_is_clean(world: World) -> None:
    cluster = Counted([world.file], world.state, command=("/nowhere/app",))
    loop = asyncio.create_task(run(cluster))

    def told() -> bool:
        instance = cluster.instance()
        return instance is not None and "cannot start /nowhere/app" in str(instance.reason)

    await eventually_async(told, "the reason")
    await eventually_async(lambda: cluster.condition("Ready") == "False NotRunning", "the condition")
    await cluster.close()
    await loop


@pytest.mark.parametrize("text", ["{not yaml", "", "kind: Unknown\n", "- a list\n", "a: 1\na: 2\n", "\x00"])
async def test_a_file_that_becomes_invalid_harms_nothing_and_is_reported(world: World, text: str) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        world.file.write_text(text)
        await eventually_async(lambda: cluster.latest.problems, "the problem to be reported")
        looks = cluster.looks
        world.save()
        await settled(cluster, lambda: cluster.looks > looks and not cluster.latest.problems)
        assert cluster.instance().restarts == 0
        assert world.drained() == 0


async def test_a_field_that_becomes_invalid_is_a_condition_of_its_service(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        world.document["spec"]["modules"][0]["batching"] = {"min": 9, "max": 3}
        world.save()
        await settled(cluster, lambda: cluster.condition("Stalled") == "True InvalidDeclaration")
        assert "min 9 is larger than max 3" in cluster.latest.problems[0].message
        assert cluster.instance().restarts == 0


async def test_a_deleted_file_ends_its_instance_gracefully(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        world.file.unlink()
        await eventually_async(lambda: not world.instance_folder.exists(), "the instance to go")
        assert world.drained() == 1
        assert cluster.latest.instances == ()
        assert not list((world.state / "services").iterdir())


async def test_a_service_that_is_declared_again_is_another_one(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        uid = cluster.latest.services[0].uid
        world.file.unlink()
        await eventually_async(lambda: not world.instance_folder.exists(), "the instance to go")
        world.save()
        await eventually_async(lambda: cluster.latest.services, "the service to be there again")
        await settled(cluster, lambda: cluster.instance().observed.instance_uid != uid)


async def test_an_operator_that_starts_again_writes_nothing(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster, lambda: module(cluster).batch.size > 1)
        await eventually_async(lambda: quiet(cluster), "the operator to come to rest")
        desired, generation = cluster.instance().desired, cluster.latest.services[0].generation
        uid = cluster.latest.services[0].uid
    assert world.drained() == 1
    async with world.operator() as cluster:
        await settled(cluster)
        assert cluster.instance().desired == desired
        assert (cluster.latest.services[0].uid, cluster.latest.services[0].generation) == (uid, generation)
        assert [write for write in cluster.writes if not isinstance(write, ServiceStatus | RuntimeStatus)] == []


async def test_an_operator_that_is_idle_writes_nothing(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster, lambda: module(cluster).batch.size > 1)
        await eventually_async(lambda: quiet(cluster), "the operator to come to rest")


def quiet(cluster: Counted) -> bool:
    """Whether several looks in a row led to no write."""
    if len(cluster.writes) != getattr(cluster, "writes_before", -1):
        cluster.writes_before, cluster.looks_before = len(cluster.writes), cluster.looks
    return cluster.looks >= cluster.looks_before + 3


async def test_a_file_that_is_broken_at_the_start_harms_nothing(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
    world.file.write_text("{not yaml")
    async with world.operator() as cluster:
        await settled(cluster)
        assert "is not YAML" in cluster.latest.problems[0].message


async def test_a_damaged_desired_state_is_written_again(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
        generation = cluster.instance().desired.generation
    (world.instance_folder / "desired.json").write_text("{")
    async with world.operator() as cluster:
        await settled(cluster)
        assert DesiredState.parse((world.instance_folder / "desired.json").read_bytes()).generation <= generation


async def test_services_that_name_a_runtime_share_one_process_and_one_of_them_changes_alone(world: World) -> None:
    hall = service_document()
    hall["metadata"]["name"] = "hall"
    for document in (world.document, hall):
        document["spec"]["placement"] = {"runtimeRef": {"name": "shared"}}
    world.others = [hall, runtime_document()]
    world.save()

    def batches() -> dict[str, int]:
        instance = cluster.instance(SHARED)
        modules = instance.observed.modules if instance is not None and instance.observed is not None else ()
        return {each.service: each.batch.size for each in modules if each.name == "face"}

    async with world.operator() as cluster:
        await eventually_async(lambda: batches().keys() == {"cameras/hall", KEY}, "both to run")
        assert [instance.owner for instance in cluster.latest.instances] == [SHARED]
        started_at = cluster.instance(SHARED).observed.started_at
        hall["spec"]["modules"][0]["batching"] = {"mode": "Fixed", "size": 5}
        world.save()
        await eventually_async(lambda: batches().get("cameras/hall") == 5, "the batch of one")
        assert batches()[KEY] != 5
        (runtime,) = cluster.latest.runtimes
        await eventually_async(lambda: cluster.latest.runtimes[0].resource.status.services, "the runtime's status")
        assert cluster.latest.runtimes[0].resource.status.services == ("hall", "lobby")
        assert cluster.instance(SHARED).observed.started_at == started_at
        await eventually_async(lambda: quiet(cluster), "the operator to come to rest")
        world.others = [runtime_document()]
        world.save()
        await eventually_async(lambda: batches().keys() == {KEY}, "one to leave")
        assert cluster.instance(SHARED).observed.started_at == started_at
    async with world.operator() as cluster:
        await eventually_async(lambda: batches().keys() == {KEY}, "the other to go on")
        assert cluster.latest.runtimes[0].uid == runtime.uid


async def test_two_operators_cannot_share_a_state_folder(world: World) -> None:
    async with world.operator():
        with pytest.raises(ClusterError, match="another operator has the state folder"):
            LocalCluster([world.file], world.state, command=COMMAND)


async def test_a_child_of_a_killed_operator_is_waited_for(world: World) -> None:
    async with world.operator() as cluster:
        await settled(cluster)
    with (world.instance_folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        async with world.operator() as cluster:

            def waiting() -> bool:
                instance = cluster.instance()
                return instance is not None and "still ending" in str(instance.reason)

            await eventually_async(waiting, "the operator to wait")
            fcntl.flock(lock, fcntl.LOCK_UN)
            await settled(cluster)


async def test_a_child_that_does_not_end_is_killed(world: World) -> None:
    async with world.operator(drain_s=0.05) as cluster:
        await settled(cluster)
        pid = cluster._instances[LOBBY]._process.pid
        os.kill(pid, signal.SIGSTOP)
    assert world.drained() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)

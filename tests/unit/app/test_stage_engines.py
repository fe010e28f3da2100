"""Stages of modules that ask for `auto` move to the fastest engine while items run; torch's stay what they are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from framepilot.contract.desired import Engine
from framepilot.contract.observed import MemoryKind, ObservedStage, ProfilePoint
from framepilot_app.graphs.file_engines import FILE_ENGINES
from framepilot_app.graphs.stage_engines import STAGE_ENGINES, WholeStage
from framepilot_app.models.model import Model
from framepilot_app.models.stage_files import StageFiles
from framepilot_app.modules import stage_contest, stage_engines
from framepilot_app.modules.headroom import Room
from framepilot_app.modules.parameter_accounts import accounts
from framepilot_app.modules.rivals import timed_runs
from support.eventually import eventually_async
from support.headed import BACKBONE_BYTES, HEAD_BYTES, write_headed
from support.sharing_site import Site

INSTALLED = all(FILE_ENGINES[engine].missing() is None for engine in STAGE_ENGINES)
needs_engines = pytest.mark.skipif(not INSTALLED, reason="the engines are extras")
TORCH, OPENVINO, ONNX_RUNTIME = "torch", "openvino", "onnxruntime"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Heads on one backbone."""
    store = tmp_path_factory.mktemp("store")
    return [write_headed(store, f"head{number}", head=number) for number in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ONNX forms are kept: writing one takes a second."""
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(autouse=True)
def the_shortest_stage_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_engines, "SHORTEST_S", 0.0)


@pytest.fixture
def torch_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what is measured, whatever the machine says."""

    def timed(size, run, clock) -> ProfilePoint:
        timed_runs(size, run, clock)
        ms = 1.0 if isinstance(run.func, WholeStage) else 1.5
        return ProfilePoint(batch=size, p50_ms=ms * size, p99_ms=ms * size)

    monkeypatch.setattr(stage_contest, "timed_runs", timed)


@pytest.fixture
async def site(folder: Path) -> AsyncIterator[Site]:
    with Site(StageFiles(folder).get) as made:
        yield made


@pytest.fixture(autouse=True)
def subnormal_numbers_stay_what_they_are() -> Iterator[None]:
    yield
    smallest = 5e-324
    assert smallest + smallest > smallest


async def tried(site: Site) -> ObservedStage:
    """What is shared, when no stage is left to be tried."""
    task = site.engines._task
    if task is not None:
        await asyncio.wait_for(asyncio.shield(task), 60)
    (observed,) = site.device.together.plan.observed()
    return observed


def engines_of(site: Site) -> list[str]:
    """Of all stages, the shared one first."""
    return [ready.engine for ready in site.device.together.plan.ready]


async def feed_one_by_one(site: Site, times: int = 5) -> None:
    for _ in range(times):
        site.feed()
        await site.all_right()


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_what_auto_modules_share_moves_to_the_fastest_engine_while_items_run(site: Site, models) -> None:
    stop = asyncio.Event()

    async def flow() -> None:
        while not stop.is_set():
            site.feed()
            await asyncio.sleep(0.002)

    flowing = asyncio.create_task(flow())
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    plan = site.device.together.plan
    assert plan.partners(site.modules["s/0/a"].lane), "they share at once, on torch"
    observed = await tried(site)
    assert (observed.modules, observed.engine) == (("s/0/a", "s/1/a"), OPENVINO)
    assert [(each.name, each.reason) for each in observed.engines] == [
        (OPENVINO, None),
        (TORCH, f"slower than {OPENVINO}"),
        (ONNX_RUNTIME, f"slower than {OPENVINO}"),
    ]
    assert all(point.ms == point.pictures for point in observed.points), "the latencies are that engine's"
    assert engines_of(site) == [OPENVINO] * 3, "and so do their heads"
    before = plan.ready[0].items
    await eventually_async(lambda: plan.ready[0].items > before + 20, "items on that engine")
    stop.set()
    await flowing
    await site.all_right()
    assert site.device.together.plan is plan
    assert site.device.together.failed is None
    assert not site.device.together.expelled


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_without_memory_for_other_engines_a_stage_stays_on_torch(site: Site, models) -> None:
    site.rooms = (Room(MemoryKind.HOST, 100 << 20, 85 << 20, "memory.max of its control group"),)
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    observed = await tried(site)
    assert observed.engine == TORCH
    reasons = {each.name: each.reason or "" for each in observed.engines}
    assert reasons.keys() == {OPENVINO, ONNX_RUNTIME}
    assert all("of memory to be loaded" in reason and "15 MiB" in reason for reason in reasons.values())
    await feed_one_by_one(site)


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_what_a_stage_takes_on_another_engine_is_counted_while_it_is_opened(site: Site, models) -> None:
    site.rooms = (Room(MemoryKind.HOST, 4 << 30, 0, "memory.max of its control group"),)
    counted: list[int] = []
    in_background = stage_engines.in_background

    def looked(*given, **named):
        counted.append(site.headroom.observed()[0].loading_bytes)
        return in_background(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_engines, "in_background", looked)
        await site.add("s/0", models[0])
        await site.add("s/1", models[1])
        observed = await tried(site)
    assert observed.engine == OPENVINO
    assert len(counted) == 3
    assert min(counted) > 0
    assert site.headroom.observed()[0].loading_bytes == 0


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_with_a_module_that_asks_for_torch_a_stage_is_torchs_to_the_bit(site: Site, models) -> None:
    await site.add("s/0", models[0])
    await site.add("s/1", models[1], engine=Engine.TORCH)
    observed = await tried(site)
    assert (observed.engine, observed.engines) == (TORCH, ())
    assert site.stages == [("s/0/a", "s/1/a"), ("s/0/a",), ("s/1/a",)]
    assert engines_of(site) == [TORCH, OPENVINO, TORCH], "what only the other one uses may go elsewhere"
    site.modules.pop("s/0/a")
    await site.add("s/2", models[2], engine=Engine.TORCH)
    await feed_one_by_one(site)
    assert site.identical == site.right == 10


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_a_stage_comes_back_to_torch_with_a_module_that_asks_for_it_and_goes_again(site: Site, models) -> None:
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    assert (await tried(site)).engine == OPENVINO
    await site.add("s/2", models[2], engine=Engine.TORCH)
    assert (await tried(site)).engine == TORCH
    assert site.stages[0] == ("s/0/a", "s/1/a", "s/2/a")
    await feed_one_by_one(site)
    await site.remove("s/2")
    assert (await tried(site)).engine == OPENVINO
    await feed_one_by_one(site)


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_a_module_that_comes_later_uses_a_stage_where_it_is_if_its_example_comes_out(site: Site, models) -> None:
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    await tried(site)
    ready = site.device.together.plan.ready[0]
    await site.add("s/2", models[2])
    await tried(site)
    assert site.device.together.plan.ready[0] is ready
    assert ready.agreed == {model.sha256 for model in models}
    await feed_one_by_one(site)


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_a_stage_with_which_the_example_of_a_module_that_comes_later_is_wrong_is_made_anew(
    site: Site, models
) -> None:
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    await tried(site)
    spoilt = site.device.together.plan.ready[0]
    run = spoilt.compiled._run
    spoilt.compiled._run = lambda values: [output + 1 for output in run(values)]
    await site.add("s/2", models[2])
    assert spoilt not in site.device.together.plan.ready
    assert (await tried(site)).engine == OPENVINO
    await feed_one_by_one(site)


async def test_engines_that_are_not_installed_leave_it_to_torch_with_the_reason(
    site: Site, models, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in STAGE_ENGINES:
        monkeypatch.setitem(sys.modules, FILE_ENGINES[engine].package, None)
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    observed = await tried(site)
    assert observed.engine == TORCH
    assert {each.name for each in observed.engines} == {TORCH, OPENVINO, ONNX_RUNTIME}
    assert all("not installed" in each.reason for each in observed.engines if each.name != TORCH)
    await feed_one_by_one(site)
    assert site.identical == site.right


@needs_engines
async def test_a_stage_without_an_onnx_form_stays_with_torch_and_says_why(models) -> None:
    with Site() as site:
        await site.add("s/0", models[0])
        await site.add("s/1", models[1])
        observed = await tried(site)
    assert observed.engine == TORCH
    assert {each.reason for each in observed.engines if each.name != TORCH} == {"there are no files here"}


@needs_engines
async def test_a_short_stage_is_not_tried(site: Site, models, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_engines, "SHORTEST_S", 1e9)
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    observed = await tried(site)
    assert observed.engine == TORCH
    assert all(each.reason.startswith("to call it costs as much as the ") for each in observed.engines)


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_one_with_which_an_example_comes_out_otherwise_is_out_however_fast(
    site: Site, models, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = stage_contest.open_stage

    def spoilt(engine, file, threads):
        stage = opened(engine, file, threads)
        if engine is Engine.OPENVINO:
            run = stage._run
            stage._run = lambda values: [output + 1 for output in run(values)]
        return stage

    monkeypatch.setattr(stage_contest, "open_stage", spoilt)
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    observed = await tried(site)
    assert observed.engine == ONNX_RUNTIME
    (reason,) = (each.reason for each in observed.engines if each.name == OPENVINO)
    assert "output 0 of its example differs from the expected one" in reason
    await feed_one_by_one(site)


@needs_engines
async def test_a_failure_while_engines_are_tried_leaves_torch(
    site: Site, models, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(stage_engines, "hold", fails)
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    observed = await tried(site)
    assert observed.engine == TORCH
    assert [each.reason for each in observed.engines] == ["MemoryError"] * 2
    await feed_one_by_one(site)


@needs_engines
@pytest.mark.usefixtures("torch_is_slower")
async def test_what_another_engine_holds_is_charged_to_those_that_share_it(site: Site, models) -> None:
    def reckoned() -> dict:
        plan = site.device.together.plan
        return accounts(
            (module.service, program)
            for module in site.modules.values()
            for program in (module.lane.version.compiled, *plan.compiled_of(module.lane))
        )

    await site.add("s/0", models[0], engine=Engine.TORCH)
    await site.add("s/1", models[1])
    own = BACKBONE_BYTES + HEAD_BYTES
    alone = reckoned()["s/0"]
    assert (alone.bytes, alone.charged) == (own, BACKBONE_BYTES / 2 + HEAD_BYTES), "torch's are the models' own"
    await site.swap("s/0", models[0])
    await tried(site)
    backbone, *heads = (ready.compiled.nbytes for ready in site.device.together.plan.ready)
    found = reckoned()["s/0"]
    assert found.bytes == own + backbone + heads[0]
    assert found.charged == round(BACKBONE_BYTES / 2 + HEAD_BYTES + backbone / 2 + heads[0])

"""The plan of what is shared follows what serves, beside what runs; and where it cannot be made, all goes on."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from framepilot_app.models.model import Model
from framepilot_app.modules import merger as merging
from framepilot_app.modules import stage_engines
from framepilot_app.modules.stages import Contents, contents_of
from support.eventually import eventually, eventually_async
from support.fake_engine import module as a_fake
from support.headed import BACKBONE_BYTES, HEAD_BYTES, serving, write_headed
from support.sharing_site import Site

HEADS = 4
NOBODY = "no other model here begins with the same arithmetic and parameters"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Heads on one backbone, and at last one on another."""
    store = tmp_path_factory.mktemp("store")
    heads = [write_headed(store, f"head{number}", head=number) for number in range(HEADS)]
    return [*heads, write_headed(store, "stranger", backbone=1, head=HEADS)]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Contents]:
    """Of every stage that is compiled."""
    found: list[Contents] = []
    make_ready = merging.make_ready

    def counted(stage, *arguments):
        found.append(contents_of(stage))
        return make_ready(stage, *arguments)

    monkeypatch.setattr(merging, "make_ready", counted)
    return found


async def test_those_that_begin_alike_share_and_the_others_are_told_why_not(site: Site, models) -> None:
    first = await site.add("s/0", models[0])
    assert site.merger.alone(first) is None, "there is nobody else"
    assert site.stages == []
    await site.add("s/1", models[1])
    await site.add("s/9", models[-1])
    assert site.stages == [("s/0/a", "s/1/a"), ("s/0/a",), ("s/1/a",)]
    assert [site.alone(service) for service in ("s/0", "s/1", "s/9")] == [None, None, NOBODY]
    site.feed()
    await site.all_right()
    (observed,) = site.device.together.plan.observed()
    assert (observed.modules, observed.items) == (("s/0/a", "s/1/a"), 2)
    assert observed.nodes == 4
    assert observed.share > 0.9


async def test_modules_come_go_and_are_swapped_while_items_run_and_none_is_lost(site: Site, models) -> None:
    stop = asyncio.Event()

    async def flow() -> None:
        while not stop.is_set():
            site.feed()
            await asyncio.sleep(0.002)

    await site.add("s/0", models[0])
    flowing = asyncio.create_task(flow())
    await site.add("s/1", models[1])
    plans = [site.device.together.plan]
    await site.add("s/2", models[2])
    plans.append(site.device.together.plan)
    await site.swap("s/1", models[3])
    plans.append(site.device.together.plan)
    await site.remove("s/0")
    plans.append(site.device.together.plan)
    assert site.stages == [("s/1/a", "s/2/a"), ("s/1/a",), ("s/2/a",)]
    counted = site.device.together.plan.ready[0].items
    await eventually_async(lambda: site.device.together.plan.ready[0].items > counted + 10, "items of the last plan")
    stop.set()
    await flowing
    await site.all_right()
    assert len({*map(id, plans)}) == len(plans)
    assert all(plan is not None for plan in plans)
    assert site.device.together.failed is None
    assert not site.device.together.expelled


async def test_a_stage_that_is_there_is_not_compiled_again(site: Site, models, compilations) -> None:
    for number, compiled in enumerate([0, 3, 4, 5]):
        await site.add(f"s/{number}", models[number])
        assert len(compilations) == compiled, "the backbone once, and every head"
    ready = {*site.device.together.plan.ready}
    await site.remove("s/3")
    await site.remove("s/0")
    assert len(compilations) == 5
    assert {*site.device.together.plan.ready} < ready
    await site.swap("s/1", models[0])
    assert len(compilations) == 6


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_coming_and_going_ends_in_the_same_stages_and_bytes(site: Site, models, seed: int) -> None:
    left = random.Random(seed).sample(range(HEADS + 1), HEADS + 1)
    again = random.Random(seed).choice(left[:3])
    for number in [*left[:3], -again, again, *left[3:]]:
        await (site.add(f"s/{number}", models[number]) if number >= 0 else site.remove(f"s/{-number}"))
    await site.remove("s/3")
    services = ("s/0/a", "s/1/a", "s/2/a")
    assert site.stages == [services, *((service,) for service in services)]
    parameters = site.device.parameters
    eventually(lambda: parameters.unique_bytes == 2 * BACKBONE_BYTES + 4 * HEAD_BYTES, "what went to be freed")
    # Each version's, and those of the stages: the backbone once, and the heads.
    assert parameters.referenced_bytes == 5 * BACKBONE_BYTES + 7 * HEAD_BYTES


async def test_what_is_shared_is_in_memory_once_and_is_freed_with_the_last(
    site: Site, models, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other engines are asked for even the shortest stage, and nothing is left of that.
    monkeypatch.setattr(stage_engines, "SHORTEST_S", 0.0)
    parameters = site.device.parameters
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    assert parameters.unique_bytes == BACKBONE_BYTES + 2 * HEAD_BYTES
    site.feed()
    await site.all_right()
    await site.remove("s/0")
    eventually(lambda: parameters.unique_bytes == BACKBONE_BYTES + HEAD_BYTES, "the head to be freed")
    assert site.device.together.plan is None
    assert site.alone("s/1") is None
    await site.remove("s/1")
    eventually(lambda: parameters.unique_bytes == parameters.referenced_bytes == 0, "all to be freed")


async def test_a_parameter_file_that_was_changed_leaves_the_plan_as_it_is_until_the_next_change(
    site: Site, models, tmp_path: Path
) -> None:
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    plan = site.device.together.plan
    spoilt = write_headed(tmp_path, "spoilt", head=7)
    content = spoilt.weights.read_bytes()
    module = serving(spoilt, site.device.parameters, "s/2")
    spoilt.weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    site.modules["s/2/a"] = module
    await site.settled()
    assert site.device.together.plan is plan
    reason = site.alone("s/2")
    assert reason.startswith("what it shares could not be run: ")
    assert "not those that were verified" in reason
    assert site.alone("s/0") is None
    site.feed()
    await site.all_right()
    spoilt.weights.write_bytes(content)
    await site.add("s/3", models[2])
    assert site.stages[0] == ("s/0/a", "s/1/a", "s/2/a", "s/3/a")
    assert site.alone("s/2") is None
    site.feed()
    await site.all_right()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError, "MemoryError"), (lambda: RuntimeError("no room\nfor it"), "no room")],
    ids=["no memory", "whatever"],
)
async def test_a_plan_that_fails_while_it_is_made_leaves_the_one_before(
    site: Site, models, monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], reason: str
) -> None:
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])
    plan, unique = site.device.together.plan, site.device.parameters.unique_bytes
    make_ready = merging.make_ready

    def failing(*arguments):
        yield
        raise error()

    monkeypatch.setattr(merging, "make_ready", failing)
    await site.add("s/2", models[2])
    assert site.device.together.plan is plan
    assert site.alone("s/2") == f"what it shares could not be run: {reason}"
    site.feed()
    await site.all_right()
    monkeypatch.setattr(merging, "make_ready", make_ready)
    await site.remove("s/2")
    eventually(lambda: site.device.parameters.unique_bytes == unique, "what it had to be freed")
    await site.add("s/2", models[2])
    assert site.alone("s/2") is None
    assert site.stages[0] == ("s/0/a", "s/1/a", "s/2/a")


async def test_a_plan_that_was_dropped_is_made_again_with_the_next_change(site: Site, models, compilations) -> None:
    await site.add("s/0", models[0])
    await site.add("s/1", models[1])

    def fail(*_inputs):
        raise RuntimeError("it broke")

    site.device.together.plan.ready[0].compiled = fail
    site.feed()
    await site.all_right()
    assert site.device.together.plan is None
    assert site.alone("s/0") == site.alone("s/1") == "what it shares could not be run: it broke"
    before = len(compilations)
    await site.add("s/2", models[2])
    assert len(compilations) == before + 4, "nothing of the plan that failed is used again"
    assert site.alone("s/0") is None
    site.feed()
    await site.all_right()


async def test_models_of_one_name_share_by_their_contents_only(site: Site, models, tmp_path: Path) -> None:
    other = write_headed(tmp_path, models[0].spec.name, backbone=5)
    await site.add("s/0", models[0])
    await site.add("s/1", other)
    assert site.stages == []
    assert site.alone("s/0") == site.alone("s/1") == NOBODY


async def test_a_model_under_another_name_is_the_same(site: Site, models, tmp_path: Path) -> None:
    await site.add("s/0", models[0])
    await site.add("s/1", write_headed(tmp_path, "another-name", head=0))
    await site.add("s/1", models[0], "b")
    assert site.stages == [("s/0/a", "s/1/a", "s/1/b")]
    assert site.device.parameters.unique_bytes == BACKBONE_BYTES + HEAD_BYTES
    site.feed()
    await site.all_right()
    (observed,) = site.device.together.plan.observed()
    assert (observed.share, observed.pictures, observed.items) == (1.0, 1, 3)


async def test_one_that_is_declared_again_shares_while_its_predecessor_ends(site: Site, models) -> None:
    await site.add("s/0", models[0])
    old = await site.add("s/1", models[1])
    new = serving(models[2], site.device.parameters, "s/1")
    site.merger.follow([site.modules["s/0/a"], new, old])
    await asyncio.wait_for(asyncio.shield(site.merger._task), 60)
    plan = site.device.together.plan
    assert plan.partners(new.lane) == {site.modules["s/0/a"].lane}
    assert plan.partners(old.lane) == frozenset()


async def test_what_no_torch_runs_is_not_opened_up_and_says_so(site: Site, models) -> None:
    await site.add("s/0", models[0])
    site.modules["s/1/a"] = a_fake(service="s/1")
    await site.settled()
    assert site.alone("s/1") == "it runs on torch: only programs that torch may and can run are opened up"
    assert site.alone("s/0") == NOBODY


async def test_while_it_is_prepared_a_new_module_runs_alone_and_says_so(
    site: Site, models, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.add("s/0", models[0])
    goes_on, merge = threading.Event(), merging.merge

    def held(members: object) -> object:
        assert goes_on.wait(60)
        return merge(members)

    monkeypatch.setattr(merging, "merge", held)
    site.modules["s/1/a"] = serving(models[1], site.device.parameters, "s/1")
    site.follow()
    assert site.alone("s/1") == "what it shares is being prepared"
    site.feed()
    await site.all_right()
    goes_on.set()
    await site.settled()
    assert site.alone("s/1") is None

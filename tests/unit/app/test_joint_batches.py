"""The device thread with models that begin alike: they run together, and what goes wrong costs whoever it is of."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from framepilot.contract.desired import Delivery
from framepilot.scheduling.latency import LatencyModel
from framepilot_app.frames import Delivered, DropReason
from framepilot_app.graphs.engine import EngineError
from framepilot_app.models.model import Model
from framepilot_app.models.parameters import ParameterStore
from framepilot_app.modules.device import BatchDone, DeviceThread, ItemsDropped
from framepilot_app.modules.lane import Lane
from framepilot_app.modules.line import Line
from framepilot_app.modules.module import Module
from framepilot_app.modules.preprocess import Prepared
from support.eventually import eventually
from support.fake_engine import declared
from support.headed import CPU, joint_plan, loaded, picture, push, scores, serving, write_headed
from support.one_by_one import one_by_one
from support.running_modules import RunningModules

TIMEOUT_S = 30
BAD = 13


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Three heads on one backbone, and one on another."""
    store = tmp_path_factory.mktemp("store")
    heads = [write_headed(store, f"head{number}", head=number) for number in range(3)]
    return [*heads, write_headed(store, "stranger", backbone=1)]


class Together:
    """Services s/0, s/1, ... with a module each, in one plan; a context in which the device runs."""

    def __init__(self, models: list[Model], **fields: float) -> None:
        parameters = ParameterStore()
        self.modules = [serving(model, parameters, f"s/{number}", **fields) for number, model in enumerate(models)]
        self.done: queue.Queue[BatchDone] = queue.Queue()
        self.late: queue.Queue[ItemsDropped] = queue.Queue()
        self.thread = DeviceThread(CPU, one_by_one(self.done.put), self.late.put)
        self.thread.set_modules(tuple(self.modules))
        self.plan = self.thread.together.plan = joint_plan(parameters, self.modules)

    def __enter__(self) -> Together:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.thread.stop()

    def push(self, number: int, *pictures: Prepared, **fields: float) -> None:
        push(self.modules[number], *pictures, **fields)
        self.thread.wake()

    def results(self, items: int) -> list[BatchDone]:
        """What has run, until there are so many items."""
        found: list[BatchDone] = []
        while sum(len(done.items) for done in found) < items:
            found.append(self.done.get(timeout=TIMEOUT_S))
        return found

    def stage(self, *numbers: int):
        """The one that exactly these share or, of one, its head."""
        users = tuple(f"s/{number}/a" for number in numbers)
        return next(
            ready
            for each, ready in zip(self.plan.merged.stages, self.plan.ready, strict=True)
            if each.users == users and each.stage.outputs
        )


def right(done: BatchDone) -> bool:
    """Whether these are the outputs that the model gives alone."""
    if isinstance(done.outputs, Exception):
        return False
    alone = scores(done.module, [item.prepared for item in done.items])
    return torch.allclose(torch.from_numpy(done.outputs[0]), alone, atol=1e-5)


def test_items_of_two_services_run_in_one_batch_and_each_service_is_charged_with_its_part(models) -> None:
    together = Together(models[:2])
    pictures = [picture(10 * value) for value in range(4)]
    together.push(0, *pictures)
    together.push(1, *pictures)
    with together:
        results = together.results(8)
    assert all(right(done) for done in results)
    assert len({done.started_at for done in results}) == 1
    shared = together.stage(0, 1)
    assert (shared.batches, shared.pictures, shared.items) == (1, 4, 8)
    used = together.thread.used_s
    assert used.keys() == {"s/0", "s/1"}
    assert sum(used.values()) == pytest.approx(together.thread.busy_s)
    assert all(0 < seconds < results[0].seconds for seconds in used.values())
    for module in together.modules:
        assert {size: count for size, (count, _) in module.lane.batches.items()} == {4: 1}
        assert module.lane.beside_s > 0


def test_a_service_that_shares_nothing_runs_beside_them(models) -> None:
    together = Together([*models[:2], models[3]])
    for number in range(3):
        together.push(number, picture(1), picture(2))
    with together:
        results = together.results(6)
    assert all(right(done) for done in results)
    assert len({done.started_at for done in results if done.module is not together.modules[2]}) == 1
    assert len({done.started_at for done in results}) == 2


def test_those_that_wait_for_more_run_once_they_are_enough_together(models) -> None:
    together = Together(models[:2], size=4, wait_ms=1e6)
    now = time.monotonic()
    for number in range(2):
        together.push(number, picture(1), picture(2), arrived_at=now, deadline=now + 1e6)
    due, _ = together.thread._look(now)
    assert due is not None
    assert due[2].size == 2
    together.thread.together.expelled[together.modules[1].lane] = "it failed"
    assert together.thread._look(now)[0] is None
    together.thread.together.expelled.clear()
    together.thread.together.plan = None
    assert together.thread._look(now)[0] is None


def test_a_service_whose_first_item_comes_while_a_batch_is_chosen_may_join_it(models) -> None:
    """When it was looked who has work, it had none."""
    together = Together(models[:2])
    together.push(0, picture(1))
    due, _ = together.thread._look(time.monotonic())
    together.push(1, picture(2))
    together.thread._execute(*due)
    with together:
        results = together.results(2)
        together.push(1, picture(3))
        results += together.results(1)
    assert all(right(done) for done in results)
    assert results[0].started_at == results[1].started_at
    assert together.thread.used_s.keys() == {"s/0", "s/1"}


def test_who_took_longer_than_its_limit_in_a_batch_of_several_runs_alone_next_and_the_others_go_on_together(
    models,
) -> None:
    together = Together(models[:3], size=1)
    slow = together.modules[2]
    slow.time_limit_s = 1e-6
    for pictures in ([picture(1)], [picture(2)]):
        for number in range(3):
            together.push(number, *pictures)
    with together:
        results = together.results(6)
    assert all(right(done) for done in results)
    first, *batches = [
        {done.module.service for done in results if done.started_at == at}
        for at in sorted({done.started_at for done in results})
    ]
    assert first == {"s/0", "s/1", "s/2"}
    assert sorted(map(sorted, batches)) == [["s/0", "s/1"], ["s/2"]]
    assert [each.over_limit for each in together.modules] == [0, 0, 2]


def test_who_is_stopped_joins_nobody(models) -> None:
    together = Together(models[:2], size=1)
    stopped = together.modules[1]
    stopped.time_limit_s = 1e-6
    while not stopped.lane.time_limit.open:
        together.push(1, picture(1))
        together.thread._execute(*together.thread._look(time.monotonic())[0])
    together.push(0, picture(2))
    due, _ = together.thread._look(time.monotonic())
    together.push(1, picture(2))
    together.thread._execute(*due)
    assert stopped.queued == 1
    assert together.thread._look(time.monotonic())[0] is None
    assert [len(dropped.items) for dropped in together.late.queue] == [1]


def moody(module: Module, run: Callable[..., tuple[torch.Tensor, ...]]) -> Callable[..., tuple[torch.Tensor, ...]]:
    """The same, but it raises where the bad picture is among them."""
    bad = scores(module, [picture(BAD)])

    def answer(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = run(*inputs)
        if ((outputs[0] - bad).abs() < 1e-5).all(1).any():
            raise EngineError("thirteen")
        return outputs

    return answer


def make_moody(together: Together, number: int) -> None:
    """One module's program raises on one picture, alone and in a batch with others."""
    module, head = together.modules[number], together.stage(number)
    before = module.lane
    alone = moody(module, before.version.compiled)
    head.compiled = moody(module, head.compiled)
    object.__setattr__(before.version, "compiled", alone)


def test_a_model_that_raises_costs_its_own_items_and_the_others_go_on_together(models) -> None:
    together = Together(models[:3])
    make_moody(together, 2)
    pictures = [picture(value) for value in (BAD, 20, 30, 35)]
    for number in range(3):
        together.push(number, *pictures)
    with together:
        results = together.results(12)
        failed = [item for done in results if isinstance(done.outputs, Exception) for item in done.items]
        assert [item.prepared for item in failed] == [pictures[0]]
        assert all(done.module is together.modules[2] for done in results if isinstance(done.outputs, Exception))
        assert all(right(done) for done in results if not isinstance(done.outputs, Exception))
        assert dict(together.thread.together.expelled) == {together.modules[2].lane: "thirteen"}
        assert together.thread.together.plan is together.plan
        # It is charged with the batch that it spoilt.
        assert sum(together.thread.used_s.values()) == pytest.approx(together.thread.busy_s)
        common = picture(40)
        for number in range(3):
            together.push(number, common)
        assert all(right(done) for done in together.results(3))
    shared = together.stage(0, 1, 2)
    assert (shared.pictures, shared.items) == (1, 2)
    assert together.stage(2).batches == 0


def test_a_stage_that_fails_though_nobody_does_alone_ends_the_plan_with_its_reason(models) -> None:
    together = Together(models[:2])

    def fail(*_inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        raise EngineError("no memory\nat all")

    together.stage(0, 1).compiled = fail
    for number in range(2):
        together.push(number, picture(1), picture(2))
    with together:
        assert all(right(done) for done in together.results(4))
        assert together.thread.together.plan is None
        assert together.thread.together.failed == "no memory"
        assert not together.thread.together.expelled
        together.push(0, picture(3))
        assert all(right(done) for done in together.results(1))


@pytest.mark.parametrize(("head_s", "batches"), [(1e-3, 1), (1e3, 2)], ids=["quick", "slow"])
def test_low_priority_does_not_join_where_it_would_make_high_priority_late(models, head_s: float, batches: int) -> None:
    together = Together(models[:2])
    now = time.monotonic()
    together.stage(1).latency = LatencyModel.measured([(1, head_s)])
    common = picture(1)
    together.push(0, common, deadline=now + 100, priority=90)
    together.push(1, common, deadline=math.inf, priority=10)
    with together:
        results = together.results(2)
    assert [done.module for done in results] == together.modules
    assert all(right(done) for done in results)
    assert len({done.started_at for done in results}) == batches
    # What the first one computed was kept for the second.
    shared = together.stage(0, 1)
    assert (shared.batches, shared.pictures, shared.items) == (1, 1, 2)


def test_the_next_by_priority_joins_before_the_others(models) -> None:
    together = Together(models[:3], size=1)
    together.push(0, picture(1), priority=90)
    together.push(1, picture(2), priority=10)
    together.push(2, together.modules[0].lane._queue.first(1)[0].prepared, priority=50)
    with together:
        results = together.results(3)
    assert [done.module for done in results] == [together.modules[number] for number in (0, 2, 1)]
    assert [len({done.started_at for done in results[:count]}) for count in (2, 3)] == [1, 2]


def test_infinity_from_one_head_costs_its_own_frames_only(tmp_path: Path) -> None:
    parameters = ParameterStore()
    first = RunningModules("s/0", [declared("a", size=4, wait_ms=1)])
    second = RunningModules("s/1", [declared("a", size=4, wait_ms=1)], beside=first)
    modules = [service.modules["a"] for service in (first, second)]
    for number, module in enumerate(modules):
        model = write_headed(tmp_path, f"head{number}", head=number, overflows=number == 1)
        module.switch(Lane(module.service, "a", loaded(model, parameters), CPU))
    first.device.together.plan = plan = joint_plan(parameters, modules)
    outcomes: dict[str, list] = {service.service: [] for service in (first, second)}
    lines = [Line(outcomes[service.service].append) for service in (first, second)]
    frames = [pixels.picture for pixels in map(picture, [0, 255, 0, 255, 0])]
    with first, second:
        inlets = [
            service.inlet(line, Delivery.LOSSLESS, 1000.0, 6)
            for service, line in zip((first, second), lines, strict=True)
        ]
        for sequence, pixels in enumerate(frames):
            for inlet in inlets:
                inlet.offer(pixels, 1, sequence, 1e9, 0.0)
        for line in lines:
            eventually(lambda line=line: line.empty, "all frames to end")
        assert first.device.together.plan is plan
    assert all(isinstance(outcome, Delivered) for outcome in outcomes["s/0"])
    ends = [None if isinstance(outcome, Delivered) else outcome.reason for outcome in outcomes["s/1"]]
    assert ends == [None, DropReason.ERROR, None, DropReason.ERROR, None]
    ((_, shared),) = plan.shared()
    assert shared.items == 2 * len(frames)
    assert shared.pictures == len(frames)

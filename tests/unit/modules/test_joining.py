"""Who joins a batch: as many as fit, and nobody comes too late for that."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot.scheduling.latency import LatencyModel, batch_sizes
from framepilot_app.graphs.merging import merge
from framepilot_app.modules.joining import Joining
from framepilot_app.modules.joint import JointPlan, Part
from framepilot_app.modules.module import Module
from framepilot_app.modules.queue import Item
from framepilot_app.modules.stages import ReadyStage
from support.fake_engine import declared, lane, module
from support.headed import CPU, picture, push
from support.random_programs import member, write
from support.running_stages import KEEP_ALL

NOW = 100.0
POOL = tuple(picture(value) for value in range(8))
STEM = [("conv", 0, 0), ("relu", 0, 0)]
WORDS = ([*STEM, ("sigmoid", 0, 0)], [*STEM, ("conv", 0, 1)], [("conv", 0, 0), ("pool", 0, 0)], [*STEM, ("pool", 0, 0)])
MERGED = merge([member(f"s/s/m{number}", *write(word, f"n{number}_")) for number, word in enumerate(WORDS)], KEEP_ALL)

latencies = st.lists(st.floats(0.001, 2), min_size=3, max_size=3).map(
    lambda seconds: LatencyModel.measured(zip((1, 2, 8), seconds, strict=True))
)
deadlines = st.floats(0, 20) | st.just(math.inf)
waits = st.lists(st.tuples(st.integers(0, len(POOL) - 1), deadlines, st.booleans()), min_size=1, max_size=8)
"""Picture, seconds until the deadline, whether it is enforced."""


def modules(cap: int = 8) -> list[Module]:
    made = []
    for number in range(len(WORDS)):
        one = Module("s/s", declared(f"m{number}", size=cap), lambda _: None)
        one.switch(lane(None, module=f"m{number}"))
        made.append(one)
    return made


def plan_of(lanes, models) -> JointPlan:
    ready = [ReadyStage(each.stage, None, model) for each, model in zip(MERGED.stages, models, strict=True)]
    return JointPlan(MERGED, {each.name: each for each in lanes}, ready, CPU)


def queue(one: Module, waiting) -> None:
    for index, seconds, enforced in waiting:
        (item,) = push(module(), POOL[index], deadline=NOW + seconds)
        item.journey.frame = replace(item.journey.frame, enforced=enforced)
        one.lane.push([item])


def seconds_of(plan: JointPlan, parts) -> float:
    """What the batch will take: every stage on the different pictures of all its modules."""
    total = 0.0
    for index, ready in enumerate(plan.ready):
        rows = {item.prepared for part in parts if index in plan.stages_of(part.lane) for item in part.items}
        total += ready.latency.seconds(len(rows)) if rows else 0.0
    return total


def spare_s(plan: JointPlan, parts) -> float:
    """Seconds between the batch's end and the tightest deadline that is enforced."""
    enforced = [item.deadline for part in parts for item in part.items if item.journey.frame.enforced]
    return min(enforced, default=math.inf) - NOW - seconds_of(plan, parts)


def pictures_of(parts) -> int:
    return len({item.prepared for part in parts for item in part.items})


@settings(max_examples=60)
@given(
    st.lists(waits, min_size=len(WORDS), max_size=len(WORDS)),
    st.lists(latencies, min_size=len(MERGED.stages), max_size=len(MERGED.stages)),
    st.sampled_from([1, 3, 4, 8]),
    st.integers(1, 8),
)
def test_all_that_join_are_in_time_as_many_as_fit_and_no_more_pictures_than_allowed(queues, models, cap, most) -> None:
    first, *others = members = modules(cap)
    for one, waiting in zip(members, queues, strict=True):
        queue(one, waiting)
    plan = plan_of([one.lane for one in members], models)
    sizes = batch_sizes(cap)
    due = Part(first, first.lane, first.lane.take_with(sizes, lambda _items: True))
    joining = Joining(plan, due, NOW, most)
    most = max(most, len(due.items))
    for one in others:
        waiting: list[Item] = one.lane._queue.first(cap)
        before = [*joining.parts]
        taken = one.lane.take_with(sizes, functools.partial(joining.fits, one.lane))
        assert taken == waiting[: len(taken)]
        if taken:
            joining.add(Part(one, one.lane, taken))
            assert spare_s(plan, joining.parts) > -1e-6
        for size in sizes:
            if len(taken) < size <= len(waiting):
                larger = [*before, Part(one, one.lane, waiting[:size])]
                assert pictures_of(larger) > most or spare_s(plan, larger) < 1e-6
    assert pictures_of(joining.parts) <= most


def joined(due, other, most: int = 8) -> int:
    """How many of the other's items join; each of three stages takes a second, and a tenth for each picture."""
    first, second, *_ = members = modules()
    queue(first, due)
    queue(second, other)
    model = LatencyModel.measured([(1, 1.1), (8, 1.8)])
    plan = plan_of([one.lane for one in members], [model] * len(MERGED.stages))
    part = Part(first, first.lane, first.lane.take_with((len(due),), lambda _items: True))
    joining = Joining(plan, part, NOW, most)
    return len(second.lane.take_with((1, 2, 4), functools.partial(joining.fits, second.lane)))


@pytest.mark.parametrize(
    ("due", "other", "count"),
    [
        ([(0, 100, True)], [(0, 100, True)] * 2, 2),
        ([(0, 3.0, True)], [(0, 100, True)] * 2, 0),
        ([(0, 3.0, False)], [(0, 100, True)] * 2, 2),
        ([(0, 100, True)], [(0, 3.0, True)] * 2, 0),
        ([(0, 100, True)], [(0, 100, True), (1, 3.4, True)], 1),
    ],
    ids=["all have time", "the due one has not", "the due one may be late", "the other has not", "the second has not"],
)
def test_nobody_joins_who_makes_another_one_late_or_would_be_late(due, other, count: int) -> None:
    assert joined(due, other) == count


def test_a_picture_that_both_have_is_one() -> None:
    common = [(index, math.inf, True) for index in range(4)]
    assert joined(common, common, most=4) == 4
    assert joined(common, [(index + 4, math.inf, True) for index in range(4)], most=5) == 1

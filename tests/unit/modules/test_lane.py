"""A lane beside others: what it gives to a batch that is due for another one, and when it begins for others' sake."""

from __future__ import annotations

import pytest

from framepilot.scheduling.batcher import BatchPolicy, Run, WaitUntil
from framepilot_app.modules.lane import FOLLOW, Lane
from framepilot_app.modules.module import Module
from support.fake_engine import module
from support.headed import picture, push

SIZES = (1, 2, 4, 6)


def waiting(items: int) -> tuple[Module, Lane]:
    one = module(size=6)
    push(one, *(picture(value) for value in range(items)))
    return one, one.lane


@pytest.mark.parametrize(("items", "most", "taken"), [(5, 9, 4), (9, 9, 6), (9, 3, 2), (1, 9, 1), (3, 0, 0), (0, 9, 0)])
def test_the_largest_size_that_is_there_and_fits_is_taken(items: int, most: int, taken: int) -> None:
    _, lane = waiting(items)
    asked: list[int] = []

    def fits(first) -> bool:
        asked.append(len(first))
        return len(first) <= most

    found = lane.take_with(SIZES, fits)
    assert [int(each.prepared.picture[0, 0, 0]) for each in found] == list(range(taken))
    assert lane.queued == items - taken
    assert asked[1:] == sorted(asked[1:], reverse=True), "the least first: what is more does not fit if that does not"
    assert set(asked) <= set(SIZES)


def test_what_does_not_fit_stays_where_it_was() -> None:
    one, lane = waiting(3)
    assert lane.take_with(SIZES, lambda _first: False) == []
    push(one, picture(3))
    found = lane.take_with(SIZES, lambda _first: True)
    assert [int(each.prepared.picture[0, 0, 0]) for each in found] == [0, 1, 2, 3]


def test_a_lane_begins_earlier_by_what_others_lately_took_beside_it() -> None:
    """One item takes 1 ms, and may wait until 10 s: without others it would begin a batch of two just before that."""
    one = module()
    lane = one.lane
    policy = BatchPolicy((1, 2), 100.0)
    push(one, picture(0), deadline=10.0)
    alone, _ = lane.decide(0.0, policy)
    assert isinstance(alone, WaitUntil)
    lane.observe(1, 0.001, 3.0 / FOLLOW)
    early, _ = lane.decide(0.0, policy)
    assert early == WaitUntil(alone.time - 3.0)
    assert lane.decide(early.time, policy)[0] == Run(1)


def test_what_others_take_does_not_drop_an_item_that_can_be_in_time_alone() -> None:
    one = module()
    lane = one.lane
    lane.observe(1, 0.001, 3.0 / FOLLOW)
    push(one, picture(0), deadline=1.0)
    assert lane.decide(0.5, BatchPolicy((1, 2), 100.0))[0] == Run(1)


def test_what_others_take_is_followed_and_forgotten() -> None:
    lane = module().lane
    for _ in range(100):
        lane.observe(1, 0.001, 2.0)
    assert lane.beside_s == pytest.approx(2.0, rel=1e-3)
    lane.observe(1, 0.001)
    assert lane.beside_s == pytest.approx(2.0 * (1 - FOLLOW), rel=1e-3)


def test_what_a_frame_costs_is_its_own_part_and_how_long_it_takes_is_all_of_the_batch() -> None:
    one = module()
    own = one.lane.usual_batch_s()
    one.lane.observe(1, 0.001, 2.0 / FOLLOW)
    assert one.frame_s() == own
    assert one.usual_batch_s() == own + 2.0


def test_what_was_decided_holds_until_something_changes() -> None:
    one = module()
    lane = one.lane
    policy = BatchPolicy((1, 2), 100.0)
    push(one, picture(0), deadline=10.0)
    waits = lane.decide(0.0, policy)
    assert lane.decide(1.0, policy) == waits
    push(one, picture(1), deadline=10.0)
    assert lane.decide(1.0, policy)[0] == Run(2)
    assert isinstance(lane.decide(1.0, BatchPolicy((1, 2, 4), 100.0))[0], WaitUntil), "another policy, which waits"
    lane.take(Run(2))
    assert lane.decide(1.0, policy)[0] == WaitUntil(float("inf"))

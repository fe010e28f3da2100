"""Batches that take longer than they may: fewer items, then none, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.scheduling.breaker import FIRST_WAIT_S, LONGEST_WAIT_S, STRIKES, Breaker
from framepilot.scheduling.latency import batch_sizes

LIMIT_S = 0.1
SHORT_S, LONG_S = 0.05, 0.3
SIZES = batch_sizes(8)


@dataclass
class Lane:
    """Runs the largest batch that may run, whenever one may; `seconds` says how long one of a size takes."""

    now: float = 100.0
    breaker: Breaker = field(default_factory=Breaker)

    def run(self, seconds, size: int | None = None) -> int:
        """One batch; its size, 0 if none may run."""
        sizes = self.breaker.sizes(SIZES, self.now)
        if not sizes:
            return 0
        size = sizes[-1] if size is None else size
        took = seconds(size)
        self.breaker = self.breaker.after(self.now, size, took, LIMIT_S)
        self.now += took
        return size


def short(_size: int) -> float:
    return SHORT_S


def long(_size: int) -> float:
    return LONG_S


def opened() -> Lane:
    """It opened just now, for the first time."""
    lane = Lane()
    while not lane.breaker.open:
        lane.run(long)
    return lane


def test_while_batches_are_within_the_limit_nothing_changes():
    lane = Lane()
    for _ in range(100):
        assert lane.run(short) == SIZES[-1]
    assert lane.breaker == Breaker()


def test_a_batch_of_exactly_the_limit_is_within_it():
    assert Breaker().after(0.0, 8, LIMIT_S, LIMIT_S) == Breaker()


def test_now_and_then_a_batch_that_takes_too_long_does_no_harm():
    lane = Lane()
    for _ in range(20):
        for _ in range(STRIKES - 1):
            assert lane.run(long) == SIZES[-1]
        assert lane.run(short) == SIZES[-1]
    assert lane.breaker == Breaker()


def test_several_in_a_row_halve_the_size_and_so_does_each_that_follows_until_nothing_runs():
    lane = Lane()
    assert [lane.run(long) for _ in range(STRIKES + 3)] == [8] * STRIKES + [4, 2, 1]
    assert lane.breaker.open
    assert lane.run(long) == 0


def test_a_size_that_is_within_the_limit_stays_until_it_has_been_good_for_a_while():
    lane = Lane()

    def of_size(size: int) -> float:
        return LONG_S if size > 2 else SHORT_S

    ran = [lane.run(of_size) for _ in range(STRIKES + 2)]
    assert ran == [8] * STRIKES + [4, 2]
    until = lane.breaker.until
    while lane.now < until:
        assert lane.run(of_size) == 2
    assert lane.run(of_size) == 4, "a step up is tried"
    assert lane.run(of_size) == 2, "and taken back at once"
    assert lane.breaker.until == pytest.approx(lane.now - SHORT_S + 2 * FIRST_WAIT_S)


def test_while_it_is_open_one_batch_of_one_is_tried_after_waits_that_double():
    lane = opened()
    waits = []
    for _ in range(8):
        began = lane.now
        lane.now = lane.breaker.until
        waits.append(lane.now - began)
        assert lane.run(long) == 1
        assert lane.run(long) == 0, "one trial, no more"
    assert waits == pytest.approx([1, 2, 4, 8, 16, 30, 30, 30])
    assert (FIRST_WAIT_S, LONGEST_WAIT_S) == (1, 30)


def test_while_it_is_open_there_is_room_for_nothing_and_then_for_one_trial():
    assert Breaker().room(12, 100.0) == 12
    lane = opened()
    until = lane.breaker.until
    assert [lane.breaker.room(12, at) for at in (lane.now, until - 0.01, until)] == [0, 0, 1]
    assert lane.breaker.room(0, until) == 0
    lane.now = until
    lane.run(short)
    assert lane.breaker.room(12, lane.now) == 12


def test_when_it_is_within_the_limit_again_it_comes_back_to_all_sizes_step_by_step():
    lane = opened()
    lane.now = lane.breaker.until
    ran = []
    while 8 not in ran:
        ran.append(lane.run(short))
    assert [size for size in SIZES if size in ran] == [1, 2, 4, 8]
    assert ran == sorted(ran)
    lane.now += LONGEST_WAIT_S
    lane.run(short)
    for _ in range(STRIKES - 1):
        lane.run(long)
    assert lane.run(long) == 8, "and is as patient as before"


def test_a_step_up_that_was_good_at_first_is_taken_back_at_once_and_waits_twice_as_long():
    lane = opened()
    lane.now = lane.breaker.until
    assert lane.run(short) == 1
    assert lane.run(long) == 1
    assert lane.breaker.open
    assert lane.breaker.until == pytest.approx(lane.now + 2 * FIRST_WAIT_S)


def test_a_trial_that_held_begins_anew_with_short_waits():
    lane = opened()
    for _ in range(3):
        lane.now = lane.breaker.until
        lane.run(long)
    lane.now = lane.breaker.until
    assert lane.run(short) == 1
    lane.now = lane.breaker.until
    lane.run(short, size=1)
    for _ in range(STRIKES):
        lane.run(long, size=1)
    assert lane.breaker.open
    assert lane.breaker.until == pytest.approx(lane.now + FIRST_WAIT_S)


def test_who_took_too_long_in_company_runs_alone_until_it_is_known_whose_time_it_was():
    assert not Breaker().apart(8)
    suspected = Breaker().suspected()
    assert suspected.apart(1)
    assert suspected.sizes(SIZES, 0.0) == SIZES, "it is not held back for it"
    assert not suspected.after(0.0, 8, SHORT_S, LIMIT_S).apart(8)
    convicted = suspected
    for _ in range(STRIKES - 1):
        convicted = convicted.after(0.0, 8, LONG_S, LIMIT_S)
    assert convicted.most == 4


def test_suspicion_is_not_added_up():
    assert Breaker().suspected().suspected() == Breaker().suspected()


def test_what_is_tried_runs_alone_and_what_has_held_does_not_have_to():
    lane = opened()
    assert lane.breaker.apart(1)
    lane.now = lane.breaker.until
    lane.run(short)
    assert lane.breaker.apart(1), "on trial"
    lane.now = lane.breaker.until
    lane.run(short, size=1)
    assert not lane.breaker.apart(1)
    assert lane.breaker.apart(2)


@given(st.lists(st.tuples(st.sampled_from([0.01, 0.09, 0.11, 0.5, 5.0]), st.floats(0, 3)), max_size=200))
def test_whatever_happens_some_size_runs_again_and_no_more_than_asked_for(batches):
    lane = Lane()
    for seconds, idle in batches:
        size = lane.run(lambda _size, seconds=seconds: seconds)
        assert size == 0 or size in SIZES
        assert lane.breaker.until - lane.now <= LONGEST_WAIT_S
        assert FIRST_WAIT_S <= lane.breaker.wait_s <= LONGEST_WAIT_S
        lane.now += idle
    for _ in range(20):
        lane.now += LONGEST_WAIT_S
        assert lane.run(short) > 0
    assert lane.run(short) == SIZES[-1]


@given(st.floats(1.01 * LIMIT_S, 10), st.integers(1, 100))
def test_a_model_that_stays_slow_gets_a_few_batches_and_then_one_in_half_a_minute(seconds, batches):
    lane = Lane()
    began, ran = lane.now, 0
    while ran < batches:
        ran += lane.run(lambda _size: seconds) > 0
        if lane.breaker.open:
            lane.now = lane.breaker.until
    down, doubling = STRIKES + len(SIZES) - 1, 5
    assert ran <= down + doubling + (lane.now - began) / LONGEST_WAIT_S

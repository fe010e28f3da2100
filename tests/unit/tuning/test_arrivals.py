"""How many items come: rates step when they clearly do, and neither chance nor a short silence moves them."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_operator.tuning.arrivals import SILENCE_S, Arrivals, followed
from framepilot_operator.tuning.counters import ItemCounters

START = ItemCounters(1000.0, 0, 0, 0)


def after(counters: ItemCounters, items: int, seconds: float = 1.0, refused: int = 0) -> ItemCounters:
    return ItemCounters(
        counters.at + seconds,
        counters.arrived + items,
        counters.frames + items + refused,
        counters.admitted + items,
    )


def seen(*items: int, of: Arrivals | None = None, refused: int = 0) -> Arrivals:
    arrivals = of or followed(None, START, 1.0, 1)
    counters = arrivals.since
    for each in items:
        counters = after(counters, each, refused=refused)
        arrivals = followed(arrivals, counters, 1.0, 1)
    return arrivals


def rate(arrivals: Arrivals) -> float:
    assert arrivals.rate is not None
    return round(arrivals.rate.per_s, 6)


def poisson(mean: float, random: Random) -> int:
    count, left = 0, math.exp(-mean)
    chance = random.random()
    while chance > left:
        count += 1
        chance *= random.random()
    return count


@given(st.lists(st.integers(1, 1000), min_size=4, max_size=30))
def test_a_rate_lies_within_what_was_seen(items: list[int]) -> None:
    arrivals = seen(*items)
    assert arrivals.rate is None or min(items) * 0.999 <= rate(arrivals) <= max(items) * 1.001


def test_a_rate_is_known_after_some_seconds() -> None:
    assert seen(10, 10).rate is None
    assert rate(seen(10, 10, 10)) == 10


def test_even_arrivals_that_are_a_frame_early_or_late_leave_the_rate_as_it_is() -> None:
    settled = seen(*[30] * 10)
    assert seen(*[31, 29, 30, 30, 29, 31] * 50, of=settled).rate == settled.rate


def test_chance_moves_a_rate_seldom() -> None:
    random = Random(1)
    arrivals = seen(*(poisson(20, random) for _ in range(30)))
    moves = 0
    for _ in range(1000):
        before = arrivals.rate
        arrivals = seen(poisson(20, random), of=arrivals)
        moves += arrivals.rate != before
    assert moves < 20
    assert rate(arrivals) == pytest.approx(20, rel=0.3)


def test_bursts_are_told_from_even_arrivals() -> None:
    even, bursty = seen(*[20] * 40), seen(*[10, 30] * 40)
    assert even.rate is not None
    assert even.rate.dispersion < 0.1
    assert bursty.rate is not None
    assert bursty.rate.dispersion > 2
    assert rate(bursty) == pytest.approx(20, rel=0.15)


@given(st.floats(1.6, 20.0))
def test_a_step_is_followed_after_two_windows(times: float) -> None:
    settled = seen(*[20] * 20)
    more = round(20 * times)
    assert seen(more, of=settled).rate == settled.rate
    assert rate(seen(more, more, of=settled)) == more
    assert rate(seen(*[20] * 5, of=seen(more, of=settled))) == 20


def test_a_short_silence_is_no_other_rate_and_a_long_one_is() -> None:
    settled = seen(*[20] * 20)
    assert rate(seen(*[0] * (int(SILENCE_S) - 2), *[20] * 5, of=settled)) == 20
    assert rate(seen(*[0] * 200, of=settled)) < 1
    assert seen(*[0] * 200).rate is None


def test_frames_that_were_not_let_in_count_as_what_came() -> None:
    assert rate(seen(*[10] * 5, refused=30)) == 40


@given(st.sampled_from(["arrived", "frames", "admitted", "at"]))
def test_where_counting_began_anew_the_rate_stays_and_the_difference_does_not_count(what: str) -> None:
    settled = seen(*[20] * 20)
    anew = replace(after(settled.since, 20), **{what: 0})
    again = followed(settled, anew, 1.0, 1)
    assert again == replace(settled, since=anew)
    assert rate(seen(*[20] * 5, of=again)) == 20

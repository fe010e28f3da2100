"""Shares of the device: what was reserved and an even part of the rest, over time; idleness earns no claim."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.scheduling.reserves import MOST_RESERVED
from framepilot_app.modules.shares import Shares


def looked(*ready: str) -> Shares:
    shares = Shares()
    shares.look(ready, ready)
    return shares


def run(
    shares: Shares, ready: str, seconds: float, batch_s: dict[str, float], working: str | None = None
) -> Counter[str]:
    """Services that always have a batch to run; the device seconds of each, in so many of all together."""
    used: Counter[str] = Counter()
    while used.total() < seconds:
        shares.look(ready, ready if working is None else working)
        first = min(ready, key=shares.turn)
        shares.charge({first: batch_s[first]})
        used[first] += batch_s[first]
    return used


def test_whoever_is_least_ahead_of_its_share_goes_next():
    shares = looked("a", "b")
    shares.charge({"a": 1.0})
    assert shares.turn("a") > shares.turn("b")
    shares.charge({"b": 3.0})
    assert shares.turn("b") > shares.turn("a")


def test_a_service_that_was_idle_cannot_claim_the_time_it_left_unused():
    shares = looked("a", "b")
    run(shares, "a", 100, {"a": 1.0})
    used = run(shares, "ab", 10, {"a": 1.0, "b": 1.0})
    assert used == {"a": 5, "b": 5}


def test_nor_after_a_time_when_nobody_had_work():
    shares = looked()
    run(shares, "a", 100, {"a": 1.0})
    shares.look("", "")
    run(shares, "b", 1, {"b": 1.0})
    assert run(shares, "ab", 10, {"a": 1.0, "b": 1.0}) == {"a": 5, "b": 5}


def test_a_short_pause_costs_nothing():
    shares = looked("a", "b")
    shares.charge({"a": 0.5})
    shares.charge({"b": 0.7})
    shares.look("a", "ab")
    shares.look("ab", "ab")
    assert shares.turn("b") - shares.turn("a") == pytest.approx(0.2 / 0.5)


def test_with_nothing_reserved_all_get_the_same():
    used = run(Shares(), "abc", 300, {"a": 0.01, "b": 0.05, "c": 0.02})
    assert used["a"] == pytest.approx(100, abs=0.1)
    assert used["b"] == pytest.approx(100, abs=0.1)


def test_a_reserve_is_got_on_top_of_an_even_part_of_the_rest():
    shares = Shares()
    shares.reserve({"a": 0.4, "b": 0.2})
    used = run(shares, "abcd", 1000, dict.fromkeys("abcd", 0.05))
    assert used["a"] == pytest.approx(500, rel=0.01)
    assert used["b"] == pytest.approx(300, rel=0.01)
    assert used["c"] == pytest.approx(100, rel=0.01)


def test_what_a_service_reserved_and_does_not_use_goes_to_the_others_evenly():
    shares = Shares()
    shares.reserve({"a": 0.6, "b": 0.2})
    used = run(shares, "bc", 100, dict.fromkeys("bc", 0.05))
    assert used["b"] == pytest.approx(60, rel=0.01)
    assert used["c"] == pytest.approx(40, rel=0.01)


def test_a_reserve_is_in_force_from_the_next_look_on_and_so_is_its_end():
    shares = Shares()
    batch_s = dict.fromkeys("ab", 0.05)
    assert run(shares, "ab", 10, batch_s)["a"] == pytest.approx(5, abs=0.1)
    shares.reserve({"a": 0.8})
    assert run(shares, "ab", 10, batch_s)["a"] == pytest.approx(9, abs=0.1)
    shares.reserve({})
    assert run(shares, "ab", 10, batch_s)["a"] == pytest.approx(5, abs=0.1)


def test_who_had_hardly_a_share_owes_nothing_when_the_others_have_no_work_any_more():
    shares = Shares()
    shares.reserve({"a": 0.95})
    run(shares, "abc", 10, dict.fromkeys("abc", 0.05))
    shares.look("b", "b")
    shares.charge({"b": 0.05})
    assert run(shares, "bd", 10, dict.fromkeys("bd", 0.05))["b"] == pytest.approx(5, abs=0.1)


def test_who_is_between_two_batches_for_a_moment_keeps_its_reserve():
    """Its frames are with the workers at every tenth look or so, and somebody else's batch runs."""
    shares, random, used = Shares(), Random(1), Counter()
    shares.reserve({"a": 0.8})
    for _ in range(20_000):
        ready = "b" if random.random() < 0.1 else "ab"
        shares.look(ready, "ab")
        first = min(ready, key=shares.turn)
        shares.charge({first: 0.01})
        used[first] += 0.01
    assert used["a"] >= 0.8 * used.total()


@given(
    st.dictionaries(
        st.sampled_from("abcdef"), st.tuples(st.floats(0, 1), st.floats(0.001, 0.2)), min_size=1, max_size=6
    ),
    st.floats(0, MOST_RESERVED),
    st.integers(0, 1000),
    st.floats(1, 20),
)
def test_whoever_always_has_work_gets_its_reserve_but_for_a_batch(services, together, seed, seconds):
    """Batches of each take up to so long, and how long is not known before."""
    parts = sum(part for part, _ in services.values()) or 1.0
    reserves = {name: together * part / parts for name, (part, _) in services.items()}
    longest = {name: batch_s for name, (_, batch_s) in services.items()}
    shares, used, random = Shares(), Counter(), Random(seed)
    shares.reserve(reserves)
    while used.total() < seconds:
        shares.look(services, services)
        first = min(services, key=shares.turn)
        took = longest[first] * random.uniform(0.1, 1)
        shares.charge({first: took})
        used[first] += took
    for name, reserve in reserves.items():
        # What start-time fair queueing guarantees: a batch of one's own, and one's share of a batch of each.
        behind = longest[name] + reserve * sum(longest.values())
        assert used[name] >= reserve * used.total() - behind - 1e-9


def test_a_service_that_joined_a_batch_after_the_last_look_has_to_answer_for_its_part():
    shares = looked("a", "b")
    shares.charge({"a": 1.0, "late": 1.0})
    shares.look(("b", "late"), ("a", "b", "late"))
    assert shares.turn("late") > shares.turn("b")

"""What is in flight: counted as frames start and end, it is what is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.scheduling.load import Load

GROUPS = [("a",), ("b",), ("b", "yard"), ("b", "gate"), ("c",)]
WORK = 0.25

frames = st.tuples(st.sampled_from(GROUPS), st.integers(0, 2), st.sampled_from([WORK, 2 * WORK]))


def loaded(started) -> Load:
    load = Load()
    for frame in started:
        load.start(*frame)
    return load


@given(st.lists(frames, max_size=12), st.lists(frames, max_size=12), st.randoms(use_true_random=False))
def test_what_has_ended_leaves_nothing_behind(kept, over, random):
    load = loaded(sorted([*kept, *over], key=lambda _: random.random()))
    for frame in sorted(over, key=lambda _: random.random()):
        load.end(*frame)
    fresh = loaded(kept)
    assert load.services == fresh.services == {group[0] for group, _, _ in kept}
    shares = dict.fromkeys("abc", 1 / 3)
    for group in GROUPS:
        for priority in range(3):
            assert load.frames(group, priority) == sum(of == group and p >= priority for of, p, _ in kept)
            own = sum(work for of, p, work in kept if of[0] == group[0] and p >= priority)
            assert load.work(group[0], priority) == pytest.approx(own)
            for each in (None, shares):
                ahead = fresh.ahead(group, priority, WORK, 0.1, each)
                assert load.ahead(group, priority, WORK, 0.1, each) == pytest.approx(ahead)


@given(st.lists(frames, max_size=12), st.sampled_from(GROUPS), st.integers(0, 2))
def test_equal_shares_are_what_nobody_reserved(started, group, priority):
    load = loaded(started)
    even = load.ahead(group, priority, WORK, 0.1, dict.fromkeys("abc", 1 / 3))
    assert load.ahead(group, priority, WORK, 0.1, None) == pytest.approx(even)


def test_what_was_not_started_cannot_end():
    with pytest.raises(KeyError):
        loaded([(("a",), 1, WORK)]).end(("a",), 2, WORK)

"""How far a service may be ahead of its limit, and how long it waits then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.scheduling.limits import BURST_S, Allowance

TOLERANCE = 1e-9


def test_who_has_used_nothing_is_free():
    assert Allowance(0.5).free_at < 10.0


def test_a_batch_is_over_at_the_pace_of_the_limit():
    allowance = Allowance(0.25).after(now=10.0, seconds=0.2)
    assert allowance.free_at == pytest.approx(10.0 + 0.8 - BURST_S)


def test_what_was_left_unused_long_ago_is_no_claim():
    rested = Allowance(0.5).after(now=0.0, seconds=0.1).after(now=1000.0, seconds=1.0)
    assert rested == Allowance(0.5).after(now=1000.0, seconds=1.0)


@given(
    st.floats(0.01, 0.99),
    st.lists(st.tuples(st.floats(0.001, 0.5), st.floats(0, 1)), min_size=1, max_size=50),
)
def test_whatever_runs_whenever_it_may_no_more_is_used_than_the_limit_and_one_batch(limit, batches):
    allowance, now, used = Allowance(limit), 0.0, 0.0
    for seconds, idle in batches:
        now = max(now, allowance.free_at) + idle
        assert used <= limit * (now + BURST_S) + TOLERANCE, "a batch begins only when all before it are over"
        allowance = allowance.after(now, seconds)
        used += seconds
        now += seconds

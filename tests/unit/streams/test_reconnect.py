from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.streams.reconnect import LONGEST_S, STEADY_S, Reconnect


def test_waits_double_from_half_a_second_to_the_longest():
    reconnect, delays = Reconnect(), []
    for _ in range(9):
        reconnect = reconnect.after(0)
        delays.append(reconnect.delay_s(1.0))
    assert delays == [0.5, 1, 2, 4, 8, 16, LONGEST_S, LONGEST_S, LONGEST_S]


def test_the_first_opening_is_not_waited_for():
    assert Reconnect().delay_s(1.0) == 0


def test_a_source_that_has_worked_begins_anew_and_one_that_gives_a_frame_and_fails_does_not():
    failing = Reconnect(5)
    assert failing.after(STEADY_S).delay_s(1.0) == 0.5
    assert failing.after(STEADY_S / 2).delay_s(1.0) == 16


@given(failures=st.integers(1, 10**6), jitter=st.floats(0, 1))
def test_half_of_every_wait_is_random(failures, jitter):
    whole = Reconnect(failures).delay_s(1.0)
    assert Reconnect(failures).delay_s(0.0) == whole / 2
    assert whole / 2 <= Reconnect(failures).delay_s(jitter) <= whole <= LONGEST_S


@pytest.mark.parametrize("failures", [10**3, 10**9])
def test_any_number_of_failures_has_a_wait(failures):
    assert Reconnect(failures).delay_s(1.0) == LONGEST_S

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from framepilot_operator.cluster.backoff import FIRST_S, LONGEST_S, restart_delay


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_a_delay_is_bounded_and_jitter_keeps_half_of_it(attempt: int, jitter: float) -> None:
    whole = restart_delay(attempt, 1)
    assert FIRST_S / 2 <= restart_delay(attempt, jitter) <= whole <= LONGEST_S
    assert restart_delay(attempt, 0) == whole / 2


@given(st.integers(1, 10_000))
def test_a_later_attempt_never_waits_for_less(attempt: int) -> None:
    assert restart_delay(attempt, 1) <= restart_delay(attempt + 1, 1)


def test_the_first_delays_double():
    assert [restart_delay(attempt, 1) for attempt in (1, 2, 3, 4)] == [0.5, 1, 2, 4]

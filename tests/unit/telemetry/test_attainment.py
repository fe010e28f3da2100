"""The share of a service's latest frames that were within its objective."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.frames import Ended
from framepilot_app.telemetry.attainment import ENOUGH, LONGEST_S, SPAN_S, AttainmentWindow


def window(seconds: Iterable[tuple[int, int]], objective_ms: float = 200) -> AttainmentWindow:
    """A reading each second, beginning with none; in each so many frames ended, and so many of them within it."""
    found = AttainmentWindow()
    ended = within = 0
    found.add(0, objective_ms, Ended(0, 0))
    for at, (more, more_within) in enumerate(seconds, start=1):
        ended, within = ended + more, within + more_within
        found.add(at, objective_ms, Ended(ended, within))
    return found


def test_every_frame_that_was_taken_on_counts_and_one_that_was_skipped_does_not() -> None:
    found = AttainmentWindow()
    found.add(0, 200, Ended.of(1000, 1000, {"superseded": 1, "still": 2}))
    late = 10
    dropped = {"overload": 20, "error": 10, "superseded": 5001, "still": 7002}
    found.add(1, 200, Ended.of(1160 + late, 1160, dropped))
    assert found.share(200) == 160 / 200


def test_of_few_frames_nothing_is_said() -> None:
    assert AttainmentWindow().share(200) is None
    assert window([(ENOUGH - 1, 0)]).share(200) is None
    assert window([(ENOUGH, 50)]).share(200) == 0.5


def test_what_ended_more_than_a_minute_ago_does_not_count() -> None:
    found = window([*[(10, 0)] * 100, *[(10, 10)] * int(SPAN_S)])
    assert found.share(200) == 1
    assert window([*[(10, 0)] * 100, *[(10, 10)] * int(SPAN_S - 2)]).share(200) == pytest.approx(58 / 60, abs=1e-6)


def test_a_slow_stream_is_judged_by_its_latest_hundred_frames() -> None:
    assert window([*[(1, 0)] * 100, *[(1, 1)] * ENOUGH]).share(200) == 1


def test_frames_of_long_ago_are_forgotten_though_none_came_since() -> None:
    seen = [(10, 10)] * 20
    assert window([*seen, *[(0, 0)] * int(LONGEST_S - 20)]).share(200) == 1
    assert window([*seen, *[(0, 0)] * int(LONGEST_S)]).share(200) is None


def test_another_objective_begins_anew() -> None:
    found = window([(200, 0)])
    assert found.share(100) is None
    found.add(2, 100, Ended(200, 0))
    assert found.share(100) is None
    assert found.share(200) is None
    found.add(3, 100, Ended(400, 150))
    assert found.share(100) == 0.75


@given(st.lists(st.integers(0, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=700))
def test_it_is_the_share_of_the_shortest_end_that_has_a_minute_and_a_hundred_frames(seconds) -> None:
    last = range(1, min(len(seconds), int(LONGEST_S)) + 1)
    ends = [seconds[-length:] for length in last]
    whole = (end for end in ends if len(end) >= SPAN_S and sum(ended for ended, _ in end) >= ENOUGH)
    chosen = next(whole, ends[-1] if ends else [])
    ended, within = sum(ended for ended, _ in chosen), sum(within for _, within in chosen)
    expected = round(within / ended, 6) if ended >= ENOUGH else None
    assert window(seconds).share(200) == expected

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.streams.pace import Pace, Thinning

rates = st.floats(0.1, 240)


def test_real_time_is_the_clock_of_the_source():
    pace = Pace.of(25, None, realtime=True)
    assert [pace.due_s(index) for index in (0, 1, 50)] == [0, 0.04, 2]
    assert all(pace.keeps(index) for index in range(100))


def test_a_cap_in_real_time_leaves_frames_out_evenly():
    pace = Pace.of(25, 5, realtime=True)
    assert [index for index in range(20) if pace.keeps(index)] == [0, 5, 10, 15]
    assert pace.due_s(5) == 0.2


def test_a_cap_without_real_time_paces_and_keeps_all():
    pace = Pace.of(25, 5, realtime=False)
    assert pace.due_s(5) == 1
    assert all(pace.keeps(index) for index in range(100))


@pytest.mark.parametrize(("source_fps", "realtime"), [(25, False), (None, True), (None, False)])
def test_without_clock_and_cap_frames_are_due_at_once(source_fps, realtime):
    assert Pace.of(source_fps, None, realtime=realtime).due_s(1000) == 0


def test_a_cap_above_the_own_rate_changes_nothing():
    assert Pace.of(10, 30, realtime=True) == Pace.of(10, None, realtime=True)


@given(source=rates, cap=rates, frames=st.integers(1, 500))
def test_the_kept_frames_come_at_the_capped_rate(source, cap, frames):
    pace = Pace.of(source, cap, realtime=True)
    kept = sum(pace.keeps(index) for index in range(frames))
    assert pace.keeps(0)
    assert abs(kept - frames * min(1, cap / source)) <= 1 + 1e-9


def test_without_a_cap_every_live_frame_is_kept():
    thinning = Thinning(None)
    assert all(thinning.keeps(now) for now in (0.0, 0.0, 0.1, 7.0))


@given(
    rate=st.floats(1, 120),
    cap=st.floats(0.5, 120),
    jitters=st.lists(st.floats(-0.3, 0.3), min_size=50, max_size=200),
)
def test_live_frames_that_come_unsteadily_are_kept_at_the_capped_rate(rate, cap, jitters):
    thinning = Thinning(cap)
    times = [(index + jitter) / rate for index, jitter in enumerate(jitters)]
    kept = sum(thinning.keeps(now) for now in times)
    assert kept <= (times[-1] - times[0]) * cap + 2
    if cap >= rate * 2:
        assert kept == len(times)
    assert kept >= min(cap, rate) * 0.7 * (times[-1] - times[0]) - 2


def test_a_camera_at_its_cap_loses_no_frame_to_a_little_jitter():
    thinning = Thinning(10)
    assert all(thinning.keeps(index / 10 + (0.02 if index % 2 else 0)) for index in range(100))

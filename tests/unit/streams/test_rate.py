from __future__ import annotations

import pytest

from framepilot_app.streams.rate import WINDOW_S, RateMeter


def test_a_steady_stream_has_its_rate():
    meter = RateMeter()
    for index in range(1000):
        meter.count(index / 25)
    assert meter.fps(999 / 25) == pytest.approx(25)


def test_a_rate_too_high_for_the_window_is_measured_over_fewer_frames():
    meter = RateMeter()
    for index in range(10_000):
        meter.count(index / 2000)
    assert meter.fps(9_999 / 2000) == pytest.approx(2000)


def test_silence_lowers_the_rate_to_zero():
    meter = RateMeter()
    for index in range(100):
        meter.count(index / 25)
    assert meter.fps(99 / 25 + 2) < 25
    assert meter.fps(99 / 25 + WINDOW_S + 1) == 0


def test_nothing_and_one_frame_have_no_rate():
    meter = RateMeter()
    assert meter.fps(1) == 0
    meter.count(1)
    assert meter.fps(1) == 0
    assert meter.fps(2) == 0

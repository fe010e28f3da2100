"""How long Python's lock is held: shortly where little is computed in Python, as by default where much is."""

from __future__ import annotations

import sys

import pytest

from framepilot_app import interpreter


@pytest.mark.parametrize(("modules", "seconds"), [(0, 0.0002), (4, 0.0002), (20, 0.001), (100, 0.005), (900, 0.005)])
def test_the_more_modules_the_longer(modules, seconds):
    assert interpreter.switch_interval_s(modules) == pytest.approx(seconds)


def test_it_is_in_force():
    before = sys.getswitchinterval()
    try:
        interpreter.follow(20)
        assert sys.getswitchinterval() == pytest.approx(0.001)
    finally:
        sys.setswitchinterval(before)

"""A version of which one item takes longer than a batch may hold the device."""

from __future__ import annotations

import pytest

from framepilot.contract.desired import Engine
from framepilot_app.control.slow_versions import REMEMBERED_S, SlowVersions
from framepilot_app.models.model import UnavailableError
from framepilot_app.modules.module import Module
from support.clock import Clock
from support.fake_engine import FakeCompiled, declared, version

SLOW = version(FakeCompiled(), seconds=0.25)


def limited(limit_s: float) -> tuple[Module, Clock, SlowVersions]:
    module, clock = Module("s/s", declared(), lambda _: None), Clock()
    module.time_limit_s = limit_s
    return module, clock, SlowVersions(module, clock)


def test_it_is_refused_with_what_it_takes_what_it_may_take_and_what_to_do():
    _, _, slow = limited(0.1)
    reason = (
        "model tiny 1: one item alone takes 250 ms: more than the 100 ms of placement.timeLimit; raise the limit, or "
        "choose a faster model"
    )
    with pytest.raises(UnavailableError) as refused:
        slow.check(SLOW)
    assert str(refused.value) == reason
    with pytest.raises(UnavailableError) as again:
        slow.check_known("tiny 1", SLOW.sha256, SLOW.asked)
    assert str(again.value) == reason


def test_one_that_takes_no_longer_than_it_may_is_loaded():
    _, _, slow = limited(0.25)
    slow.check(SLOW)
    slow.check_known("tiny 1", SLOW.sha256, SLOW.asked)


def test_it_is_loaded_again_when_the_limit_is_raised_and_not_when_it_is_still_too_low():
    module, _, slow = limited(0.1)
    with pytest.raises(UnavailableError):
        slow.check(SLOW)
    module.time_limit_s = 0.2
    with pytest.raises(UnavailableError, match="more than the 200 ms"):
        slow.check_known("tiny 1", SLOW.sha256, SLOW.asked)
    module.time_limit_s = 0.3
    slow.check_known("tiny 1", SLOW.sha256, SLOW.asked)


def test_what_was_measured_of_one_version_and_engine_says_nothing_of_another_and_is_forgotten():
    _, clock, slow = limited(0.1)
    with pytest.raises(UnavailableError):
        slow.check(SLOW)
    slow.check_known("tiny 2", "2" * 64, SLOW.asked)
    slow.check_known("tiny 1", SLOW.sha256, Engine.TORCH)
    clock.now += REMEMBERED_S
    slow.check_known("tiny 1", SLOW.sha256, SLOW.asked)

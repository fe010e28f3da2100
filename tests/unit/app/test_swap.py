"""A swap: new items go to the new version, old ones finish on the old one, which is then released once."""

from __future__ import annotations

from framepilot_app.modules.lane import Lane
from framepilot_app.modules.module import Module
from support.fake_engine import FakeCompiled, declared, lane


def swapped() -> tuple[Module, Lane, Lane, list[Lane]]:
    drained: list[Lane] = []
    module = Module("s/s", declared(), drained.append)
    old = lane(FakeCompiled(), "1")
    new = lane(FakeCompiled(), "2")
    module.switch(old)
    return module, old, new, drained


def test_items_announced_before_the_switch_stay_with_the_old_version():
    module, old, new, drained = swapped()
    assert module.enter(3) is old
    module.switch(new)
    assert module.enter(2) is new
    assert module.lanes == (old, new)
    module.leave(old, 2)
    assert drained == []
    module.leave(old, 1)
    assert drained == [old]
    assert module.lanes == (new,)


def test_an_idle_version_is_released_at_the_switch():
    module, old, new, drained = swapped()
    module.switch(new)
    assert drained == [old]


def test_versions_are_released_once_however_often_it_swaps():
    module, old, new, drained = swapped()
    module.enter(1)
    module.switch(new)
    module.enter(1)
    third = lane(FakeCompiled(), "3")
    module.switch(third)
    module.leave(new, 1)
    module.leave(old, 1)
    assert drained == [new, old]
    module.retire()
    assert drained == [new, old, third]

"""What stays is out of the garbage collector's sight, and what is garbage does not stay."""

from __future__ import annotations

import gc
import weakref

import pytest

from framepilot_app.modules import memory


@pytest.fixture(autouse=True)
def _thawed():
    yield
    gc.unfreeze()


class Cycle:
    """Refers to itself."""

    def __init__(self):
        self.itself = self


def in_sight(one):
    return any(each is one for each in gc.get_objects())


def test_what_is_there_is_not_looked_at_any_more_and_goes_when_nobody_refers_to_it():
    stays = {"of a model": [object()]}
    gone = weakref.ref(kept := type("Kept", (), {})())
    assert in_sight(stays)
    memory.tidy()
    assert not in_sight(stays)
    del kept
    assert gone() is None


def test_a_cycle_that_is_garbage_by_then_is_collected_before():
    gone = weakref.ref(Cycle())
    memory.tidy()
    assert gone() is None


def test_a_cycle_that_becomes_garbage_later_goes_when_all_is_looked_at_again(monkeypatch):
    cycle = Cycle()
    gone = weakref.ref(cycle)
    memory.tidy()
    del cycle
    memory.tidy()
    assert gone() is not None
    monkeypatch.setattr(memory, "_all_at", 0.0)
    memory.tidy()
    assert gone() is None
    assert memory._all_at > 0

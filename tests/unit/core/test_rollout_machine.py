"""The rollout machine: one way to serving, a refusal from everywhere, a verdict that stands."""

from __future__ import annotations

import pytest

from framepilot.contract.desired import ModelRef
from framepilot.rollouts.machine import (
    Agreed,
    Discard,
    Failed,
    Fetch,
    Fetched,
    Journal,
    Load,
    Loaded,
    Switch,
    Switched,
    UnexpectedEventError,
    Warmed,
    advance,
    begin,
)
from framepilot.rollouts.state import RolloutState

MODEL = ModelRef(name="age", version="2", uri="file:///models/age/2")
SHA = "a" * 64
WAY = (Fetched(SHA), Loaded(), Warmed(), Agreed(), Switched())


def walk(events):
    rollout, effects = begin(MODEL, 1, 0.0)
    trace = [(rollout.state, effects)]
    for time, event in enumerate(events, 1):
        rollout, effects = advance(rollout, event, float(time))
        trace.append((rollout.state, effects))
    return rollout, trace


def test_the_way_to_serving():
    rollout, trace = walk(WAY)
    assert trace == [
        (RolloutState.FETCHING, (Fetch(),)),
        (RolloutState.LOADING, (Load(),)),
        (RolloutState.WARMING, ()),
        (RolloutState.CHECKING, ()),
        (RolloutState.SWITCHING, (Switch(),)),
        (RolloutState.SERVING, (Journal(),)),
    ]
    assert (rollout.sha256, rollout.since, rollout.reason) == (SHA, 5.0, None)


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_failure_after_the_fetch_is_a_verdict_against_the_digest(steps):
    rollout, trace = walk((*WAY[:steps], Failed("it is broken")))
    assert rollout.state is RolloutState.REFUSED
    assert rollout.reason == "it is broken"
    assert trace[-1][1] == (Discard(), Journal())


def test_a_failure_to_fetch_is_refused_but_not_journalled():
    _, trace = walk((Failed("no such folder"),))
    assert trace[-1] == (RolloutState.REFUSED, (Discard(),))


def test_what_was_refused_before_is_not_loaded_again():
    rollout, trace = walk((Fetched(SHA, refused_before="its output is NaN"),))
    assert rollout.reason == "its output is NaN"
    assert Load() not in trace[-1][1]


def test_nothing_follows_a_verdict():
    rollout, _ = walk(WAY)
    with pytest.raises(UnexpectedEventError):
        advance(rollout, Failed("too late"), 9.0)


@pytest.mark.parametrize("steps", range(5))
def test_no_step_can_be_left_out(steps):
    """In every state, only its own event and a failure are taken."""
    rollout, _ = walk(WAY[:steps])
    for index, event in enumerate(WAY):
        if index != steps:
            with pytest.raises(UnexpectedEventError):
                advance(rollout, event, 9.0)

"""The rollout machine: one way to serving, a refusal from everywhere, a verdict that stands."""

from __future__ import annotations

import pytest

from framepilot.contract.desired import ModelRef
from framepilot.rollouts.machine import (
    Agreed,
    Delayed,
    Failed,
    Fetched,
    Loaded,
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
    rollout = begin(MODEL, 1, 0.0)
    states = [rollout.state]
    for time, event in enumerate(events, 1):
        rollout = advance(rollout, event, float(time))
        states.append(rollout.state)
    return rollout, states


def test_the_way_to_serving():
    rollout, states = walk(WAY)
    assert states == [
        RolloutState.FETCHING,
        RolloutState.LOADING,
        RolloutState.WARMING,
        RolloutState.CHECKING,
        RolloutState.SWITCHING,
        RolloutState.SERVING,
    ]
    assert (rollout.sha256, rollout.since, rollout.reason) == (SHA, 5.0, None)


@pytest.mark.parametrize("steps", range(5))
def test_a_failure_is_a_verdict_against_the_digest_once_it_is_known(steps):
    rollout, _ = walk((*WAY[:steps], Failed("it is broken")))
    assert rollout.state is RolloutState.REFUSED
    assert rollout.reason == "it is broken"
    assert rollout.sha256 == (SHA if steps else None)


def test_what_was_refused_before_is_not_loaded_again():
    rollout, states = walk((Fetched(SHA, refused_before="its output is NaN"),))
    assert rollout.reason == "its output is NaN"
    assert states[-1] is RolloutState.REFUSED


def test_a_store_that_does_not_give_a_model_now_is_asked_again_and_says_why_meanwhile():
    rollout, states = walk((Delayed("no answer in time"), Delayed("no answer in time")))
    assert set(states) == {RolloutState.FETCHING}
    assert (rollout.reason, rollout.since) == ("no answer in time", 0.0)
    rollout, _ = walk((Delayed("no answer in time"), *WAY))
    assert (rollout.state, rollout.reason) == (RolloutState.SERVING, None)


@pytest.mark.parametrize("steps", range(1, 5))
def test_a_model_that_a_limit_leaves_no_room_for_is_tried_again_from_the_start_and_says_why_meanwhile(steps):
    rollout, _ = walk((*WAY[:steps], Delayed("it takes too long")))
    assert (rollout.state, rollout.reason, rollout.since) == (
        RolloutState.FETCHING,
        "it takes too long",
        float(steps + 1),
    )
    rollout, _ = walk((*WAY[:steps], Delayed("it takes too long"), *WAY))
    assert (rollout.state, rollout.reason) == (RolloutState.SERVING, None)


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

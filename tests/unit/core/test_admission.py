"""The gate's decision: deadlines are kept, priority goes first, equals take turns, and nobody waits for nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot.scheduling.admission import (
    CLAIM_FRAMES,
    HALF_LIFE_S,
    Coming,
    Cost,
    Decision,
    Margin,
    Promise,
    Turns,
    Waiting,
    decide,
)
from framepilot.scheduling.load import Load

COST = Cost(work=0.010, alone=0.020)


def waits(stream: str, **changes) -> Waiting:
    frame = Waiting(("s", stream), ("service",), priority=50, turn=0.0, deadline=1.0, cost=COST, margin=0.0, room=8)
    return replace(frame, **changes)


@dataclass(frozen=True)
class Flies:
    """So many frames in flight."""

    frames: int
    group: tuple[str, ...] = ("service",)
    priority: int = 50


def flies(frames: int, *, group: str = "service", priority: int = 50) -> Flies:
    return Flies(frames, (group,), priority)


def load(*of: Flies) -> Load:
    found = Load()
    for each in of:
        for _ in range(each.frames):
            found.start(each.group, each.priority, COST.work)
    return found


def admitted(waiting, in_flight, longest_batch: float = 0.0, **others) -> str | None:
    """The first that is let in."""
    decision = decide(waiting, load(*in_flight), 0.0, longest_batch, **others)
    return decision.admitted[0].stream[1] if decision.admitted else None


def test_a_frame_starts_when_it_can_make_its_deadline_behind_the_work_in_flight():
    assert admitted([waits("a", deadline=0.071)], [flies(5)]) == "a"
    assert admitted([waits("a", deadline=0.069)], [flies(5)]) is None


def test_the_margin_is_added_to_what_is_expected():
    assert admitted([waits("a", deadline=0.100, margin=0.029)], [flies(5)]) == "a"
    assert admitted([waits("a", deadline=0.100, margin=0.031)], [flies(5)]) is None


def test_no_margin_takes_more_than_half_of_a_frames_time():
    assert admitted([waits("a", deadline=0.141, margin=9.0)], [flies(5)]) == "a"
    assert admitted([waits("a", deadline=0.139, margin=9.0)], [flies(5)]) is None


def test_with_little_ahead_a_frame_that_could_make_it_is_not_held_for_the_margin():
    assert admitted([waits("a", deadline=0.041, margin=9.0)], [flies(2)]) == "a"
    assert admitted([waits("a", deadline=0.051, margin=9.0)], [flies(3)]) is None


def test_no_more_frames_fly_than_the_device_has_use_for():
    assert admitted([waits("a", room=5)], [flies(4)]) == "a"
    assert decide([waits("a", room=5)], load(flies(5)), 0.0, 0.0) == Decision()


def test_a_frame_that_is_too_late_even_alone_is_refused():
    late = waits("a", deadline=0.019)
    assert decide([late, waits("b", room=1)], load(flies(1)), 0.0, 0.0) == Decision(refused=(("s", "a"),))


def test_with_nothing_of_its_group_in_flight_a_frame_is_never_held():
    hopeless = waits("a", deadline=0.001, margin=9.0)
    assert admitted([hopeless], []) == "a"
    assert admitted([hopeless], [flies(9, group="other"), flies(9, priority=10)]) == "a"


def test_the_higher_priority_goes_first_and_then_the_stream_whose_turn_it_is():
    a, b, c = waits("a", turn=0.2), waits("b", turn=0.1), waits("c", turn=0.9, priority=60)
    assert admitted([a, b, c], [flies(1)]) == "c"
    assert admitted([a, b], [flies(1)]) == "b"


def comes(stream: str, turn: float, *, group: str = "service", priority: int = 50) -> Coming:
    return Coming(("s", stream), (group,), priority, turn)


def test_a_stream_that_is_more_than_a_frame_ahead_waits_for_one_that_soon_has_a_frame():
    ahead = waits("a", turn=0.021)
    assert decide([ahead], load(flies(3)), 0.0, 0.0, [comes("b", 0.01)]) == Decision(awaited=(("s", "b"),))
    others = [comes("b", 0.012), comes("c", 0.0, priority=60), comes("d", 0.0, group="other")]
    for coming in ([], others):
        assert admitted([ahead], [flies(3)], coming=coming) == "a"
    # Nobody is waited for while the device could run dry.
    assert admitted([ahead], [flies(2)], coming=[comes("b", 0.0)]) == "a"


def test_work_of_lower_priority_is_overtaken_but_for_the_batch_that_runs():
    low = flies(50, priority=10)
    assert admitted([waits("a", deadline=0.200)], [low, flies(1)], longest_batch=0.1) == "a"
    assert admitted([waits("a", deadline=0.120)], [low, flies(1)], longest_batch=0.1) is None
    assert admitted([waits("a", room=2)], [low, flies(1)]) == "a", "nor does it take the room of a higher one"


def test_work_of_higher_priority_goes_before():
    assert admitted([waits("a", deadline=0.060)], [flies(5, priority=90), flies(1)]) is None


def test_another_group_gets_no_more_of_the_device_than_ones_own_meanwhile():
    other = flies(50, group="other")
    assert admitted([waits("a", deadline=0.051)], [flies(1), other]) == "a"
    assert admitted([waits("a", deadline=0.049)], [flies(1), other]) is None


def test_another_service_gets_meanwhile_no_more_than_its_share_is_to_ones_own():
    """With a half reserved, three quarters and one quarter: a third of the own work, or three times as much."""
    in_flight = [flies(5), flies(50, group="other")]
    for reserves, needed in (({"service": 0.5}, 0.05 + 0.02 + 0.02), ({"other": 0.5}, 0.05 + 0.18 + 0.02)):
        assert admitted([waits("a", deadline=needed + 0.001)], in_flight, reserves=reserves) == "a"
        assert admitted([waits("a", deadline=needed - 0.001)], in_flight, reserves=reserves) is None


def test_a_service_gets_no_more_of_the_device_for_having_several_groups():
    others = [Flies(50, ("other", name)) for name in "xyz"]
    assert admitted([waits("a", deadline=0.051)], [flies(1), *others]) == "a"
    assert admitted([waits("a", deadline=0.049)], [flies(1), *others]) is None


frames = st.builds(
    lambda stream, priority, turn, deadline, margin, room, group: waits(
        stream, priority=priority, turn=turn, deadline=deadline, margin=margin, room=room, group=(group,)
    ),
    st.sampled_from("abcdef"),
    st.integers(0, 100),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 2),
    st.integers(1, 9),
    st.sampled_from(["service", "other"]),
)
loads = st.lists(
    st.builds(
        lambda n, group, priority: flies(n, group=group, priority=priority),
        st.integers(1, 9),
        st.sampled_from(["service", "other"]),
        st.integers(0, 100),
    ),
    max_size=6,
)


absentees = st.lists(st.builds(comes, st.sampled_from("uvwxyz"), st.floats(0, 1)), max_size=3)
crowds = st.lists(frames, min_size=1, max_size=6, unique_by=lambda each: each.stream)


@given(crowds, loads, absentees)
def test_whoever_is_held_has_something_in_flight_whose_end_asks_again(waiting, in_flight, coming):
    decided = load(*in_flight)
    decision = decide(waiting, decided, 0.0, 0.05, coming)
    started = {each.stream for each in decision.admitted}
    held = [frame for frame in waiting if frame.stream not in started.union(decision.refused)]
    assert all(decided.frames(frame.group, 0) for frame in held)


@given(crowds, loads, absentees, st.sampled_from([{}, {"other": 0.5}]))
def test_all_is_decided_at_once(waiting, in_flight, coming, reserves):
    """Of those that are left nobody could have started as well, nor is there one more to be refused."""
    decided = load(*in_flight)
    first = decide(waiting, decided, 0.0, 0.05, coming, reserves)
    over = {each.stream for each in first.admitted}.union(first.refused)
    second = decide([frame for frame in waiting if frame.stream not in over], decided, 0.0, 0.05, coming, reserves)
    assert not second.admitted
    assert not second.refused


def test_nobody_else_takes_the_place_of_a_frame_that_does_not_fit_once_the_device_has_enough():
    first, *others = [waits(name, turn=turn) for turn, name in enumerate("abcd")]
    hurried = replace(first, deadline=0.025)
    decision = decide([hurried, *others], load(flies(1)), 0.0, 0.0)
    assert [each.stream[1] for each in decision.admitted] == ["b", "c"]


def promise(expected: float = 0.1, admitted_at: float = 0.0, objective: float = 0.2) -> Promise:
    return Promise(admitted_at, expected, admitted_at + objective)


def test_an_overrun_becomes_the_margin_and_time_lowers_it():
    margin = Margin().after(promise(expected=0.1), 0.15, late=False)
    assert margin.seconds(0.15) == pytest.approx(0.05)
    assert margin.seconds(0.15 + HALF_LIFE_S) == pytest.approx(0.025)


def test_a_frame_that_took_long_but_had_much_more_time_is_no_overrun():
    assert Margin().after(promise(expected=0.001), 0.09, late=False) == Margin()


def test_a_frame_dropped_as_late_is_an_overrun_whenever_it_was_dropped():
    assert Margin().after(promise(), 0.01, late=True).seconds(0.01) > Margin().seconds(0.01)


def test_one_stall_raises_the_margin_once_however_many_frames_it_caught():
    margin = Margin().after(promise(admitted_at=0.0), 0.15, late=False)
    assert margin.after(promise(admitted_at=0.01), 5.0, late=False) == margin
    assert margin.after(promise(admitted_at=0.16), 5.0, late=False) != margin


def shares(demands: dict[str, int], slots: int) -> Counter[str]:
    """What streams that want so many frames for each slot get, in `slots` slots of one frame."""
    turns, given_, left = Turns(), Counter(), dict.fromkeys(demands, 0.0)
    for _ in range(slots):
        for stream, demand in demands.items():
            left[stream] = min(left[stream] + demand / 100, 1)  # the newest frame only
        ready = [stream for stream, wants in left.items() if wants >= 1]
        if ready:
            first = min(ready, key=lambda stream: turns.turn(("s", stream), 50, 1.0))
            turns.charge(("s", first), 50, 1.0)
            given_[first] += 1
            left[first] = 0
    return given_


def test_equal_streams_get_equal_shares():
    got = shares({"a": 100, "b": 100, "c": 100}, 300)
    assert set(got.values()) == {100}


def test_a_stream_that_wants_less_than_its_share_gets_all_it_wants():
    got = shares({"slow": 5, "a": 100, "b": 100}, 1000)
    assert got["slow"] >= 49
    assert abs(got["a"] - got["b"]) <= 1


def test_a_stream_cannot_claim_later_more_than_a_few_frames_of_what_it_left_unused():
    turns = Turns()
    for _ in range(100):
        turns.charge(("s", "a"), 50, 1.0)
    ahead = turns.turn(("s", "a"), 50, 1.0) - turns.turn(("s", "new"), 50, 1.0)
    assert ahead == CLAIM_FRAMES + 1


def test_a_forgotten_stream_begins_like_a_new_one():
    turns = Turns()
    turns.charge(("s", "a"), 50, 5.0)
    turns.forget(("s", "a"))
    assert turns.turn(("s", "a"), 50, 1.0) == turns.turn(("s", "b"), 50, 1.0)


def test_what_one_service_is_given_is_no_claim_of_the_streams_of_another_one():
    turns = Turns()
    turns.charge(("s", "a"), 50, 1.0)
    for _ in range(100):
        turns.charge(("other", "a"), 50, 1.0)
    assert turns.turn(("s", "a"), 50, 1.0) == 1.0
    assert turns.turn(("s", "b"), 50, 1.0) == 0.0

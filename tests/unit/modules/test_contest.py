"""Which engine serves: the fastest over the sizes in use, and always one if any is left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.observed import ProfilePoint
from framepilot_app.modules.contest import (
    CLEARLY_SLOWER,
    MIXED,
    WORTH,
    Contender,
    Contest,
    timed_enough,
    timed_point,
)
from support.fake_engine import FakeCompiled


def contender(name: str, ms: dict[int, float]) -> Contender:
    points = {batch: ProfilePoint(batch=batch, p50_ms=each, p99_ms=each) for batch, each in ms.items()}
    return Contender(name, FakeCompiled(), points)


def test_the_size_in_force_counts_more_than_what_may_come_later() -> None:
    alone, together = contender("alone", {1: 1.0, 32: 15.0}), contender("together", {1: 1.4, 32: 10.0})
    assert Contest([alone, together]).fastest(1) is alone
    assert Contest([alone, together]).fastest(32) is together


def test_of_equal_ones_the_first_is_taken() -> None:
    first, second = contender("torch", {1: 2.0}), contender("other", {1: 2.0})
    assert Contest([first, second]).fastest(1) is first


def test_one_is_given_up_when_it_is_clearly_slower_twice_in_a_row() -> None:
    fast, slow = contender("fast", {1: 1, 2: 1, 4: 1}), contender("slow", {1: 2.5, 2: 1.5, 4: 9})
    contest = Contest([fast, slow])
    for sizes in ((), (1,), (1, 2), (1, 2, 4)):
        contest.drop_slow(sizes)
    assert contest.contenders == [fast, slow]
    slow.points.update(contender("", {8: 3}).points)
    fast.points.update(contender("", {8: 1}).points)
    contest.drop_slow((1, 2, 4, 8))
    assert contest.contenders == [fast]
    (_, out) = contest.outcome(fast)
    assert (out.name, out.reason) == ("slow", "slower: 3.0 times the time of the fastest at batch 8")
    assert [point.batch for point in out.points] == [1, 2, 4, 8]


def test_the_outcome_tells_all_the_winner_first() -> None:
    contest = Contest([contender("torch", {1: 2.0}), contender("openvino", {1: 1.0})])
    contest.refuse("onnxruntime", "not installed")
    outcome = contest.divided(contest.division(1))
    assert [(each.name, each.reason) for each in outcome] == [
        ("openvino", None),
        ("torch", "slower than openvino"),
        ("onnxruntime", "not installed"),
    ]


def test_a_size_at_which_another_one_is_much_faster_is_run_by_that_one() -> None:
    torch = contender("torch", {1: 1.5, 2: 1.9, 4: 2.5})
    runtime, slow = contender("onnxruntime", {1: 1.0, 2: 1.8, 4: 4.0}), contender("openvino", {1: 1.6, 2: 2.0, 4: 4.0})
    contest = Contest([torch, runtime, slow])
    assert contest.fastest(4) is torch
    division = contest.division(4)
    assert division == {1: runtime, 2: torch, 4: torch}
    mixed, *others = contest.divided(division)
    assert (mixed.name, [point.p50_ms for point in mixed.points]) == (MIXED, [1.0, 1.9, 2.5])
    assert [(each.name, each.batches, each.reason) for each in others] == [
        ("onnxruntime", (1,), None),
        ("torch", (2, 4), None),
        ("openvino", (), "slower than onnxruntime and torch"),
    ]


def test_a_little_faster_is_not_worth_a_second_program() -> None:
    torch, other = contender("torch", {1: 1.09, 2: 1.0}), contender("other", {1: 1.0, 2: 1.5})
    assert Contest([torch, other]).division(2) == {1: torch, 2: torch}


def test_when_nobody_is_left_torchs_reason_counts_most() -> None:
    contest = Contest()
    contest.refuse("openvino", "no such operator")
    assert contest.failure() == "engine openvino: no such operator"
    contest.refuse("torch", "conv: a wrong shape")
    assert contest.failure() == "conv: a wrong shape"


def test_short_runs_are_timed_more_often_than_long_ones() -> None:
    def runs(seconds: float) -> int:
        return next(count for count in range(100) if timed_enough([seconds] * count))

    assert [runs(seconds) for seconds in (0.0005, 0.001, 0.01, 0.5)] == [64, 50, 5, 2]


def test_the_longest_quarter_of_many_runs_does_not_count() -> None:
    point = timed_point(1, [0.003, 0.001, 0.004, 0.009, 0.002, 0.003, 0.007, 0.003])
    assert (point.p50_ms, point.p99_ms) == (3, 4)
    point = timed_point(1, [0.002, 0.009])
    assert (point.p50_ms, point.p99_ms) == (2, 9)


def test_who_is_fast_once_only_is_not_fast() -> None:
    seldom = timed_point(1, [0.004, 0.007, 0.008, 0.007, 0.009, 0.007, 0.008, 0.007])
    always = timed_point(1, [0.005] * 8)
    assert seldom.p50_ms > always.p50_ms


def test_of_two_turns_the_mean_counts() -> None:
    measured = contender("one", {1: 3.0, 2: 5.0})
    for ms, anew, expected in ((4.0, True, 4.0), (6.0, False, 5.0), (2.0, True, 2.0)):
        measured.measured(ProfilePoint(batch=1, p50_ms=ms, p99_ms=2 * ms), anew=anew)
        assert measured.ms(1) == expected
    measured.measured(ProfilePoint(batch=1, p50_ms=1.0, p99_ms=1.0), anew=False)
    assert measured.points[1].p99_ms == 4.0
    assert [*measured.points] == [1, 2]


MS = st.floats(0, 1e4)


@given(st.lists(st.tuples(MS, MS, MS, MS), min_size=1, max_size=4), st.sampled_from([1, 2, 4, 8]))
def test_whoever_wins_is_not_slower_than_another_everywhere(times: list[tuple[float, ...]], size: int) -> None:
    sizes = (1, 2, 4, 8)
    contest = Contest([contender(str(index), dict(zip(sizes, each, strict=True))) for index, each in enumerate(times)])
    for position in range(4):
        contest.drop_slow(sizes[: position + 1])
    winner = contest.fastest(size)
    for other in contest.contenders:
        assert any(winner.ms(batch) <= other.ms(batch) for batch in sizes)
    division = contest.division(size)
    for batch, runs in division.items():
        assert all(runs.ms(batch) <= WORTH * other.ms(batch) for other in contest.contenders)
    mixed = len(set(division.values())) > 1
    assert len(contest.divided(division)) == len(times) + mixed


@given(st.lists(st.tuples(MS, MS), min_size=1, max_size=4))
def test_the_fastest_of_a_size_is_never_given_up_at_it(times: list[tuple[float, float]]) -> None:
    contenders = [contender(str(index), dict(zip((1, 2), each, strict=True))) for index, each in enumerate(times)]
    contest = Contest(contenders)
    contest.drop_slow((1, 2))
    best = [min(each.ms(size) for each in contenders) for size in (1, 2)]
    for each in contenders:
        kept = any(each.ms(size) <= CLEARLY_SLOWER * least for size, least in zip((1, 2), best, strict=True))
        assert (each in contest.contenders) is kept

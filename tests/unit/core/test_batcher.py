"""The batcher: run when full or when time is up, drop what is hopeless, never promise what cannot be kept."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from framepilot.scheduling.batcher import BatchPolicy, Drop, Run, Waiting, WaitUntil, decide, holds_until
from framepilot.scheduling.latency import LatencyModel, batch_sizes

LATENCY = LatencyModel.measured([(1, 0.010), (2, 0.015), (4, 0.025), (8, 0.045)])
POLICY = BatchPolicy(batch_sizes(8), max_wait=0.020)


def queue(*deadlines: float, arrived_at: float = 0.0, enforced: bool = True) -> Waiting:
    return Waiting([arrived_at] * len(deadlines), deadlines, [enforced] * len(deadlines))


def test_an_empty_queue_waits_for_an_item():
    assert decide(queue(), 5.0, LATENCY, POLICY) == WaitUntil(math.inf)


def test_a_full_batch_runs_at_once():
    assert decide(queue(*[1.0] * 9), 0.0, LATENCY, POLICY) == Run(8)


def test_a_part_of_a_batch_waits_no_longer_than_max_wait():
    assert decide(queue(1.0, 1.0, 1.0), 0.0, LATENCY, POLICY) == WaitUntil(0.020)
    assert decide(queue(1.0, 1.0, 1.0), 0.020, LATENCY, POLICY) == Run(3)


def test_the_oldest_item_decides_about_the_wait_even_when_another_stream_has_the_turn():
    waiting = Waiting([0.015, 0.000], [1.0, 1.0], [True, True])
    assert decide(waiting, 0.016, LATENCY, POLICY) == WaitUntil(0.020)


def test_a_deadline_cuts_the_wait_short():
    decision = decide(queue(0.030), 0.0, LATENCY, POLICY)
    assert decision == WaitUntil(0.030 - LATENCY.seconds(2))


def test_an_item_that_cannot_make_its_deadline_alone_is_dropped():
    assert decide(queue(0.005, 1.0, 0.009), 0.0, LATENCY, POLICY) == Drop((0, 2))


def test_a_late_item_of_a_lossless_stream_is_never_dropped_and_does_not_shrink_batches():
    late = queue(*[-1.0] * 3, enforced=False)
    assert decide(late, 0.0, LATENCY, POLICY) == WaitUntil(0.020)
    assert decide(queue(*[-1.0] * 8, enforced=False), 0.0, LATENCY, POLICY) == Run(8)


def test_a_batch_is_no_larger_than_its_tightest_deadline_allows():
    assert decide(queue(0.020, *[1.0] * 7), 0.0, LATENCY, POLICY) == Run(3)


items = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 2), st.booleans()),
    max_size=40,
)
latencies = st.dictionaries(st.sampled_from(batch_sizes(32)), st.floats(0.0001, 0.5), min_size=1).map(
    lambda points: LatencyModel.measured(points.items())
)


@given(items, latencies, st.integers(1, 32), st.floats(0, 0.1), st.floats(0, 2))
def test_every_decision_keeps_its_promise(waiting, latency, cap, max_wait, now):
    arrivals, deadlines, enforced = tuple(zip(*waiting, strict=True)) if waiting else ((), (), ())
    view = Waiting(arrivals, deadlines, enforced)
    match decide(view, now, latency, BatchPolicy(batch_sizes(cap), max_wait)):
        case Run(size):
            assert size in batch_sizes(cap)
            assert size <= len(waiting)
            finish = now + latency.seconds(size)
            assert all(finish <= d for d, e in zip(deadlines[:size], enforced[:size], strict=True) if e)
        case Drop(dropped):
            assert dropped
            assert all(enforced[i] and now + latency.seconds(1) > deadlines[i] for i in dropped)
        case WaitUntil(time):
            assert time > now
            assert len(waiting) < cap
            assert not waiting or time <= min(arrivals) + max_wait


@given(items, latencies, st.integers(1, 32), st.floats(0, 0.1))
def test_time_alone_empties_any_queue(waiting, latency, cap, max_wait):
    """Following the decisions never gets stuck: every item ends in a batch or is dropped."""
    policy = BatchPolicy(batch_sizes(cap), max_wait)
    rest, now = list(waiting), 0.0
    for _ in range(4 * len(waiting) + 4):
        if not rest:
            return
        arrivals, deadlines, enforced = zip(*rest, strict=True)
        match decide(Waiting(arrivals, deadlines, enforced), now, latency, policy):
            case Run(size):
                rest, now = rest[size:], now + latency.seconds(size)
            case Drop(dropped):
                rest = [item for index, item in enumerate(rest) if index not in dropped]
            case WaitUntil(time):
                now = time
    raise AssertionError(f"{len(rest)} items are stuck")


@given(items, latencies, st.integers(1, 32), st.floats(0, 0.1), st.floats(0, 2), st.floats(0, 1))
def test_a_decision_holds_for_as_long_as_is_said(waiting, latency, cap, max_wait, now, share):
    policy = BatchPolicy(batch_sizes(cap), max_wait)
    view = Waiting(*zip(*waiting, strict=True)) if waiting else Waiting((), (), ())
    decision = decide(view, now, latency, policy)
    until = min(holds_until(view, decision, latency, policy), 10.0)
    then = now + share * (until - now)
    if now <= then < until:
        assert decide(view, then, latency, policy) == decision


def test_a_full_batch_that_nobody_hurries_holds_for_ever_and_one_that_shrinks_for_a_deadline_not_at_all():
    policy = BatchPolicy((1, 2), 1.0)
    latency = LatencyModel(((1, 0.1), (2, 0.4)))
    waiting = queue(1.0, 1.0, enforced=False)
    assert holds_until(waiting, Run(2), latency, policy) == math.inf
    hurried = queue(0.2, 1.0)
    assert decide(hurried, 0.0, latency, policy) == Run(1)
    assert holds_until(hurried, Run(1), latency, policy) == -math.inf

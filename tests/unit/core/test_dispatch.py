"""The dispatch policy: whole batches, each request once, loads and budgets kept where requests come as planned."""

from __future__ import annotations

import heapq

from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot.scheduling.dispatch import Dispatcher, Send, Slot, Wait


def dispatched(slots: list[Slot], budget_s: float, arrivals: list[float], factors: list[float] | None = None):
    """Everything that is sent: (time, what, the arrivals of its requests, its end), in a world of exact events."""
    dispatcher = Dispatcher(slots, budget_s, 0.0)
    sent: list[tuple[float, Send, list[float], float]] = []
    waiting: list[float] = []
    ends: list[tuple[float, int]] = []
    timer, coming = float("inf"), list(reversed(arrivals))
    while coming or waiting or ends:
        now = min(coming[-1] if coming else float("inf"), ends[0][0] if ends else float("inf"), timer)
        assert now < float("inf"), "requests wait and nothing is going to happen"
        if ends and ends[0][0] == now:
            dispatcher.finished(heapq.heappop(ends)[1], now)
        elif coming and coming[-1] == now:
            waiting.append(coming.pop())
        decision = dispatcher.decide(waiting, now)
        while isinstance(decision, Send):
            factor = factors[len(sent) % len(factors)] if factors else 1.0
            end = now + slots[decision.slot].duration_s * factor
            sent.append((now, decision, waiting[: decision.size], end))
            del waiting[: decision.size]
            heapq.heappush(ends, (end, decision.slot))
            decision = dispatcher.decide(waiting, now)
        assert isinstance(decision, Wait)
        timer = decision.until if decision.until > now else float("inf")
    return sent


slot = st.builds(
    lambda batch, duration_s, share: Slot(batch, duration_s, batch / duration_s * share),
    st.integers(1, 16),
    st.floats(0.005, 0.5),
    st.floats(0.2, 1),
)
cases = st.tuples(
    st.lists(slot, min_size=1, max_size=4),
    st.floats(0.01, 2),
    st.lists(st.floats(0, 5), max_size=60).map(sorted),
    st.lists(st.floats(0.3, 3), min_size=1, max_size=5),
)


@given(cases)
@settings(max_examples=200, deadline=None)
def test_every_request_goes_to_one_batch_in_order_and_none_is_left(case):
    slots, budget_s, arrivals, factors = case
    sent = dispatched(slots, budget_s, arrivals, factors)
    assert [each for _, _, batch, _ in sent for each in batch] == arrivals


@given(cases)
@settings(max_examples=200, deadline=None)
def test_no_batch_is_larger_than_its_instance_takes_and_dummies_fill_the_rest(case):
    slots, budget_s, arrivals, factors = case
    for _, send, batch, _ in dispatched(slots, budget_s, arrivals, factors):
        assert 1 <= len(batch) == send.size
        assert send.size + send.dummies == slots[send.slot].batch


@given(cases)
@settings(max_examples=200, deadline=None)
def test_an_instance_runs_one_batch_at_a_time(case):
    slots, budget_s, arrivals, factors = case
    free_at = [0.0] * len(slots)
    for now, send, _, end in dispatched(slots, budget_s, arrivals, factors):
        assert now >= free_at[send.slot]
        free_at[send.slot] = end


def test_one_instance_keeps_its_worst_case_and_its_load():
    slots = [Slot(8, 0.08, 100.0)]
    sent = dispatched(slots, 0.16, [n / 100 for n in range(1000)])
    assert max(end - batch[0] for _, _, batch, end in sent) <= 0.16
    assert all(send.dummies == 0 for _, send, _, _ in sent)


def test_saturated_instances_get_their_loads_and_the_last_one_what_is_left():
    slots = [Slot(8, 0.08, 100.0), Slot(8, 0.08, 100.0), Slot(2, 0.025, 50.0)]
    sent = dispatched(slots, 0.2, [n / 250 for n in range(5000)])
    loads = [sum(send.size for _, send, _, _ in sent if send.slot == index) / 20 for index in range(3)]
    assert all(abs(load - slot.load) <= 0.01 * slot.load for load, slot in zip(loads, slots, strict=True))
    assert max(end - batch[0] for _, _, batch, end in sent) <= 0.2


def test_a_small_batch_does_not_take_what_a_large_one_that_is_due_still_needs():
    dispatcher = Dispatcher([Slot(8, 0.08, 100.0), Slot(1, 0.1, 10.0)], 1.0, 0.0)
    assert dispatcher.decide([0.0] * 9, 0.0) == Send(0, 8, 0)
    assert dispatcher.decide([0.0], 0.0) == Send(1, 1, 0)
    dispatcher.finished(1, 0.08)
    dispatcher.finished(0, 0.08)
    # Of a full batch of the large one the small one, whose turn is later, must not take anything.
    wait = dispatcher.decide([0.07] * 7, 0.08)
    assert isinstance(wait, Wait)
    assert wait.waiting == 8
    assert dispatcher.decide([0.07] * 8, 0.081) == Send(0, 8, 0)


def test_a_batch_that_must_start_before_it_is_full_is_filled_with_dummies():
    dispatcher = Dispatcher([Slot(8, 0.08, 100.0)], 0.2, 0.0)
    wait = dispatcher.decide([0.0, 0.01], 0.01)
    assert isinstance(wait, Wait)
    assert abs(wait.until - 0.12) < 1e-9
    assert dispatcher.decide([0.0, 0.01], wait.until) == Send(0, 2, 6)


def test_an_empty_queue_waits_for_the_first_request():
    assert Dispatcher([Slot(8, 0.08, 100.0)], 0.2, 0.0).decide([], 0.0) == Wait(float("inf"), 1)

"""The line: frames leave in order, and the account balances at every moment, whatever the threads do."""

from __future__ import annotations

import random
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from framepilot_app.frames import Delivered, Dropped, DropReason
from framepilot_app.modules.line import Line
from support.fake_engine import frame, graph, journey, module

GRAPH = graph(module())


def balanced(line: Line) -> bool:
    counts = line.counts()
    return counts.ingested == counts.delivered + sum(counts.dropped.values()) + counts.in_flight


@given(st.lists(st.booleans(), max_size=60), st.randoms(use_true_random=False))
def test_frames_leave_in_the_order_of_capture_whatever_the_order_in_which_they_end(drops, rng):
    emitted = []
    line = Line(lambda outcome: emitted.append(outcome.frame.id.sequence))
    journeys = [journey(frame(sequence), GRAPH) for sequence in range(len(drops))]
    for each in journeys:
        line.admit(each)
    for index in rng.sample(range(len(drops)), len(drops)):
        of = journeys[index]
        line.settle(of, Dropped(of.frame, DropReason.LATE) if drops[index] else Delivered(of.frame, (), 1.0))
        assert balanced(line)
        assert line.counts().in_flight == len(drops) - len(emitted)
    assert emitted == sorted(emitted) == list(range(len(drops)))
    assert line.counts().dropped.get("late", 0) == sum(drops)
    assert line.empty


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_the_account_balances_at_every_moment_under_threads(seed, threads):
    emitted: list[int] = []
    unbalanced: list[object] = []
    line = Line(lambda outcome: emitted.append(outcome.frame.id.sequence))
    journeys = [journey(frame(sequence), GRAPH) for sequence in range(40)]
    order = random.Random(seed).sample(journeys, len(journeys))
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if not balanced(line):
                unbalanced.append(line.counts())

    def settle(share) -> None:
        for of in share:
            line.settle(of, Delivered(of.frame, (), 1.0))

    for each in journeys:
        line.admit(each)
    watcher = threading.Thread(target=watch)
    workers = [threading.Thread(target=settle, args=(order[index::threads],)) for index in range(threads)]
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    watcher.join()
    assert not unbalanced
    assert emitted == list(range(40))
    assert (line.counts().delivered, line.counts().in_flight) == (40, 0)


def test_of_the_delivered_frames_those_within_the_objective_are_counted():
    line = Line(lambda _: None)
    for sequence, latency_ms in enumerate((150.0, 200.0, 250.0)):
        of = journey(frame(sequence, deadline=0.2), GRAPH)
        line.admit(of)
        line.settle(of, Delivered(of.frame, (), latency_ms))
    for sequence, reason in enumerate(DropReason, start=3):
        of = journey(frame(sequence), GRAPH)
        line.admit(of)
        line.settle(of, Dropped(of.frame, reason))
    line.admit(journey(frame(99), GRAPH))
    assert (line.counts().delivered, line.counts().within) == (3, 2)
    skipped = len({DropReason.STILL, DropReason.SUPERSEDED})
    assert line.ended() == (3 + len(DropReason) - skipped, 2), "and what was skipped or is in flight is not judged"


def test_a_frame_that_cannot_be_handed_to_the_sinks_is_dropped_as_an_error_and_holds_up_none_behind_it():
    emitted = []

    def emit(outcome) -> None:
        if outcome.frame.id.sequence == 1:
            raise ValueError("a vector that is not a number")
        emitted.append(outcome.frame.id.sequence)

    line = Line(emit)
    for sequence in range(3):
        of = journey(frame(sequence), GRAPH)
        line.admit(of)
        line.settle(of, Delivered(of.frame, (), 1.0))
    assert emitted == [0, 2]
    counts = line.counts()
    assert (counts.delivered, counts.dropped, counts.in_flight) == (2, {"error": 1}, 0)

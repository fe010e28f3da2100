"""The queue: streams take turns, and what the batcher sees is what it gets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.modules.preprocess import prepare
from framepilot_app.modules.queue import FairQueue, Item
from support.fake_engine import frame, graph, journey, module

GRAPH = graph(module())
NODE = GRAPH.nodes[0]
SPEC = NODE.module.lane.version.spec.input


def item(stream: str, sequence: int, priority: int = 50) -> Item:
    of = frame(sequence, stream=stream, priority=priority)
    return Item(journey(of, GRAPH), NODE, 0, prepare(of.image, None, SPEC), float(sequence), float(sequence), 0.0)


def names(items) -> list[tuple[str, int]]:
    return [(each.journey.frame.id.stream, each.journey.frame.id.sequence) for each in items]


def test_a_busy_stream_gets_no_more_of_a_batch_than_a_quiet_one():
    queue = FairQueue()
    queue.push([item("busy", sequence) for sequence in range(6)] + [item("quiet", 0), item("quiet", 1)])
    assert names(queue.take(4)) == [("busy", 0), ("quiet", 0), ("busy", 1), ("quiet", 1)]
    assert names(queue.take(4)) == [("busy", 2), ("busy", 3), ("busy", 4), ("busy", 5)]


def test_the_next_batch_begins_with_the_stream_whose_turn_it_is():
    queue = FairQueue()
    queue.push([item(stream, sequence) for sequence in range(3) for stream in ("a", "b", "c")])
    assert names(queue.take(2)) == [("a", 0), ("b", 0)]
    assert names(queue.take(2)) == [("c", 0), ("a", 1)]


def test_higher_priorities_are_taken_first_and_equal_ones_take_turns():
    queue = FairQueue()
    queue.push([item("low", 0, 10), item("a", 0), item("a", 1), item("b", 0), item("high", 0, 90)])
    assert queue.priority == 90
    assert names(queue.take(4)) == [("high", 0), ("a", 0), ("b", 0), ("a", 1)]
    assert queue.priority == 10
    queue.take(1)
    assert queue.priority < 0


pushes = st.lists(st.sampled_from("abc"), max_size=30)
priorities = {"a": 50, "b": 50, "c": 90}


@given(pushes, st.data())
def test_take_gives_what_waiting_showed_in_that_order(streams, data):
    queue = FairQueue()
    queue.push([item(stream, sequence, priorities[stream]) for sequence, stream in enumerate(streams)])
    left = len(streams)
    while left:
        seen = list(queue.waiting().arrivals)
        assert len(seen) == len(queue) == left
        size = data.draw(st.integers(1, left))
        assert [each.arrived_at for each in queue.take(size)] == seen[:size]
        left -= size
    assert queue.waiting().arrivals == []


@given(pushes, st.integers(1, 40))
def test_first_shows_what_take_would_give_and_takes_nothing(streams, most):
    queue = FairQueue()
    queue.push([item(stream, sequence, priorities[stream]) for sequence, stream in enumerate(streams)])
    first = queue.first(most)
    assert len(first) == min(most, len(streams))
    assert len(queue) == len(streams)
    assert queue.take(len(first)) == first


@given(pushes, st.data())
def test_remove_takes_exactly_the_named_positions(streams, data):
    queue = FairQueue()
    queue.push([item(stream, sequence, priorities[stream]) for sequence, stream in enumerate(streams)])
    seen = list(queue.waiting().arrivals)
    positions = data.draw(st.sets(st.integers(0, len(seen) - 1))) if seen else set()
    removed = queue.remove(sorted(positions))
    assert [each.arrived_at for each in removed] == [seen[position] for position in sorted(positions)]
    assert sorted(queue.waiting().arrivals) == sorted(
        arrival for position, arrival in enumerate(seen) if position not in positions
    )

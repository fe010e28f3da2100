from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from framepilot.contract.events import DELIVERED_TYPE, DROPPED_TYPE, FrameId
from framepilot_operator.ledger import Event, Ledger, Window, parse, quantile, whole_lines

START = 1_790_000_000.0


def line(event: Event) -> bytes:
    data = {"latencyMs": event.latency_ms} if event.reason is None else {"reason": event.reason, "detail": None}
    document = {
        "specversion": "1.0",
        "id": str(event.frame),
        "source": "/cameras/lobby/door",
        "type": DELIVERED_TYPE if event.reason is None else DROPPED_TYPE,
        "time": datetime.fromtimestamp(event.at - (event.latency_ms or 0) / 1000, UTC).isoformat(),
        "data": data,
    }
    return json.dumps(document).encode()


def event(
    sequence: int, *, stream: str = "door", epoch: int = 1, reason: str | None = None, latency_ms: float = 10.0
) -> Event:
    latency = None if reason else latency_ms
    return Event(FrameId("cameras/lobby", stream, epoch, sequence), START + epoch * 100 + sequence / 8, latency, reason)


def folded(lines: list[bytes]) -> Ledger:
    ledger = Ledger()
    ledger.read(lines)
    return ledger


reasons = st.sampled_from([None, None, None, "late", "superseded"])


@st.composite
def frames(draw: st.DrawFn) -> list[Event]:
    """Every frame of some epochs of some streams, each ended once."""
    return [
        event(sequence, stream=stream, epoch=epoch, reason=draw(reasons), latency_ms=draw(st.integers(1, 500)))
        for stream in ("door", "gate")
        for epoch in range(1, draw(st.integers(1, 2)) + 1)
        for sequence in range(draw(st.integers(1, 12)))
    ]


def accounts(ledger: Ledger) -> dict[object, object]:
    return {
        (key, epoch): (bytes(seen.ends), list(seen.at), seen.dropped(), seen.delivered, seen.unaccounted)
        for key, stream in ledger.streams.items()
        for epoch, seen in stream.epochs.items()
    }


@given(frames(), st.data())
def test_any_order_and_any_repetition_of_the_lines_accounts_for_the_same_frames(events, data):
    lines = [line(event) for event in events]
    repeated = data.draw(st.lists(st.sampled_from(lines), max_size=5))
    shuffled = folded(data.draw(st.permutations(lines + repeated)))
    assert accounts(shuffled) == accounts(folded(lines))
    duplicates = sum(epoch.duplicates for stream in shuffled.streams.values() for epoch in stream.epochs.values())
    assert duplicates == len(repeated)


@given(frames(), st.lists(st.integers(0, 5000), max_size=12))
def test_a_file_read_while_it_grows_gives_each_line_once(events, sizes):
    text = b"".join(line(event) + b"\n" for event in events)
    read, offset = [], 0
    for size in [*sorted(min(size, len(text)) for size in sizes), len(text)]:
        lines, consumed = whole_lines(text[offset:size])
        read, offset = read + lines, offset + consumed
    assert read == text.splitlines()


@given(frames(), st.data())
def test_every_frame_given_is_delivered_or_dropped_or_lost(events, data):
    removed = data.draw(st.sets(st.sampled_from(range(len(events)))))
    ledger = folded([line(event) for position, event in enumerate(events) if position not in removed])
    for key, count in Counter((e.frame.stream, e.frame.epoch) for e in events).items():
        epoch = ledger.stream(("cameras/lobby", key[0])).epoch(key[1])
        epoch.expect(count)
        assert epoch.given == count == epoch.delivered + sum(epoch.dropped().values()) + epoch.unaccounted
        assert epoch.unaccounted == sum(length for length, _ in epoch.missing())
    total = sum(e.unaccounted for stream in ledger.streams.values() for e in stream.epochs.values())
    assert total == len(removed)


@given(st.integers(0, 9))
def test_one_event_removed_is_one_frame_lost(missing):
    ledger = folded([line(event(sequence)) for sequence in range(10) if sequence != missing])
    epoch = ledger.stream(("cameras/lobby", "door")).epoch(1)
    epoch.expect(10)
    assert epoch.unaccounted == 1


def test_half_a_line_waits_for_its_rest():
    whole = line(event(0))
    assert whole_lines(whole) == ([], 0)
    assert whole_lines(whole + b"\n" + whole[:20]) == ([whole], len(whole) + 1)


def test_the_line_after_one_that_a_killed_writer_left_unfinished_is_read():
    torn = line(event(3))[:60] + line(event(0, epoch=2))
    assert parse(torn) == event(0, epoch=2)


def test_what_is_not_an_event_is_counted_as_unreadable():
    ledger = folded([b"not json", b'{"id": "a/b/c/1/x"}', line(event(0))])
    assert ledger.unreadable == 2
    assert ledger.stream(("cameras/lobby", "door")).epoch(1).delivered == 1


def test_a_frame_delivered_after_a_later_one_is_out_of_order():
    events = [event(0), event(2), event(1), event(3), event(0, epoch=2), event(4)]
    ledger = folded([line(event) for event in events])
    assert ledger.stream(("cameras/lobby", "door")).out_of_order == 2


def test_a_repeated_frame_is_a_duplicate_and_not_out_of_order():
    ledger = folded([line(event(sequence)) for sequence in (0, 1, 2, 1)])
    stream = ledger.stream(("cameras/lobby", "door"))
    assert (stream.out_of_order, stream.epoch(1).duplicates, stream.epoch(1).delivered) == (0, 1, 3)


def test_a_frame_both_delivered_and_dropped_counts_as_delivered():
    ledger = folded([line(event(0, reason="late")), line(event(0))])
    epoch = ledger.stream(("cameras/lobby", "door")).epoch(1)
    assert (epoch.delivered, epoch.dropped(), epoch.duplicates) == (1, Counter(), 1)


def test_what_should_not_happen_is_said():
    ledger = folded([line(event(sequence)) for sequence in (0, 2, 1, 1)] + [b"?"])
    assert list(ledger.oddities()) == [
        "cameras/lobby stream door: 1 events came twice",
        "cameras/lobby stream door: 1 frames came after a later one",
        "1 lines are no events",
    ]


def test_p99_of_a_window_is_of_the_frames_delivered_in_it():
    ledger = folded([line(event(sequence, latency_ms=sequence)) for sequence in range(100)])
    assert ledger.p99_ms("cameras/lobby", Window(event(10).at, event(19).at)) == 19
    assert ledger.p99_ms("cameras/lobby", Window(0, 1)) is None
    assert ledger.p99_ms("cameras/other", Window(0, START * 2)) is None


def test_missing_frames_belong_to_a_window_that_holds_a_neighbour_or_lies_between_both():
    ledger = folded([line(event(sequence)) for sequence in range(30) if sequence not in {10, 11}])
    between = Window(event(10).at, event(11).at)
    assert ledger.lost_in("cameras/lobby", between) == 2
    assert ledger.lost_in("cameras/lobby", Window(event(12).at, event(20).at)) == 2
    assert ledger.lost_in("cameras/lobby", Window(event(13).at, event(20).at)) == 0


def test_frames_missing_at_the_end_belong_to_a_window_that_holds_the_last_event():
    ledger = folded([line(event(sequence)) for sequence in range(10)])
    ledger.stream(("cameras/lobby", "door")).epoch(1).expect(13)
    assert ledger.lost_in("cameras/lobby", Window(event(8).at, event(20).at)) == 3
    assert ledger.lost_in("cameras/lobby", Window(event(2).at, event(8).at)) == 0


def test_drops_are_counted_by_window():
    ledger = folded([line(event(sequence, reason="late" if sequence % 2 else None)) for sequence in range(10)])
    assert ledger.dropped_in("cameras/lobby", Window(event(0).at, event(4).at)) == 2


def test_a_quantile_is_a_value_that_was_measured():
    assert quantile([], 0.99) is None
    assert quantile([5], 0.99) == 5
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([1, 2], 0.5) == 1

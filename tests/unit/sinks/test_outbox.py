"""The outbox: never waits, loses the oldest first, counts every event, and says when a lossless stream should wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.sinks.bounded import Limits
from framepilot_app.sinks.outbox import PATIENCE_S, Loss, Outbox
from framepilot_app.sinks.sink import Batching
from framepilot_app.sinks.spool import Spool
from support.clock import Clock
from support.sink_double import numbered

SOME = Batching(events=4, bytes=1 << 20)


def balanced(outbox):
    counts = outbox.counts()
    assert counts.offered == counts.written + sum(counts.dropped.values()) + counts.waiting
    return counts


def offer(outbox, lines):
    for line in lines:
        outbox.offer(line)


def take_all(outbox):
    lines = []
    while (batch := outbox.take(SOME)) is not None:
        lines += batch.lines
        outbox.settle(batch, len(batch.lines))
    return lines


def test_events_are_taken_in_order_and_stay_until_they_are_settled():
    outbox = Outbox()
    offer(outbox, numbered(6))
    batch = outbox.take(SOME)
    assert batch.lines == tuple(numbered(4))
    assert balanced(outbox).waiting == 6
    outbox.settle(batch, 2)
    assert outbox.take(SOME).lines == tuple(numbered(4, start=2))
    assert (balanced(outbox).written, balanced(outbox).waiting) == (2, 4)


@pytest.mark.parametrize("limits", [Limits(events=3, bytes=1000), Limits(events=1000, bytes=3)])
def test_a_full_outbox_loses_the_oldest_and_counts_it(limits):
    outbox = Outbox(limits)
    offer(outbox, numbered(8))
    assert take_all(outbox) == numbered(3, start=5)
    assert balanced(outbox).dropped == {Loss.FULL: 5}


def test_what_is_in_the_writers_hands_is_not_lost():
    outbox = Outbox(Limits(events=4, bytes=1000))
    offer(outbox, numbered(4))
    batch = outbox.take(Batching(events=2, bytes=1000))
    offer(outbox, numbered(4, start=4))
    outbox.settle(batch, 2)
    assert take_all(outbox) == numbered(2, start=6)
    assert (balanced(outbox).written, balanced(outbox).dropped) == (4, {Loss.FULL: 4})


def test_an_event_larger_than_the_outbox_is_lost_itself_where_nothing_else_can_go():
    outbox = Outbox(Limits(events=4, bytes=10))
    outbox.offer(b"x" * 11)
    assert (balanced(outbox).dropped, balanced(outbox).waiting) == ({Loss.FULL: 1}, 0)


def test_refused_events_are_dropped_for_the_reason_that_the_receiver_gave():
    outbox = Outbox()
    offer(outbox, numbered(4))
    outbox.settle(outbox.take(SOME), 1, refused=2, reason="http-400")
    assert (balanced(outbox).written, balanced(outbox).dropped) == (1, {"http-400": 2})
    assert take_all(outbox) == numbered(1, start=3)


def test_a_batch_is_as_large_as_the_sink_wants_it_and_never_empty():
    outbox = Outbox()
    offer(outbox, [b"x" * 40] * 5)
    assert len(outbox.take(Batching(events=9, bytes=100)).lines) == 2
    assert len(outbox.take(Batching(events=9, bytes=10)).lines) == 1


def test_a_batch_waits_for_others_until_its_first_event_is_old_enough():
    clock = Clock(100.0)
    outbox = Outbox(clock=clock)
    patient = Batching(events=3, bytes=1000, linger_s=5)
    offer(outbox, numbered(2))
    assert outbox.take(patient) is None
    offer(outbox, numbered(1, start=2))
    assert len(outbox.take(patient).lines) == 3
    outbox.settle(outbox.take(patient), 3)
    outbox.offer(b"late")
    clock.now += 5
    assert outbox.take(patient).lines == (b"late",)


def test_a_closed_outbox_takes_nothing_and_gives_what_it_has_at_once():
    outbox = Outbox()
    outbox.offer(b"0")
    outbox.close()
    outbox.offer(b"1")
    assert outbox.take(Batching(events=9, bytes=1000, linger_s=1000)).lines == (b"0",)
    assert balanced(outbox).dropped == {Loss.CLOSED: 1}


def test_lossless_streams_wait_for_a_slow_sink_and_not_for_a_dead_one():
    clock, relieved = Clock(100.0), []
    outbox = Outbox(Limits(events=8, bytes=1000), on_room=lambda: relieved.append(clock.now), clock=clock)
    offer(outbox, numbered(3))
    assert not outbox.congested()
    outbox.offer(b"3")
    assert outbox.congested()
    clock.now += PATIENCE_S
    assert not outbox.congested(), "it has taken nothing for so long"
    outbox.settle(outbox.take(Batching(events=1, bytes=99)), 1)
    assert relieved == [clock.now]
    outbox.offer(b"4")
    assert outbox.congested(), "it takes events again"


def test_time_without_events_is_not_held_against_a_sink():
    clock = Clock(100.0)
    outbox = Outbox(Limits(events=4, bytes=1000), clock=clock)
    clock.now += 10 * PATIENCE_S
    offer(outbox, numbered(2))
    assert outbox.congested()


def spooling(tmp_path, size=1 << 20):
    """An outbox of 4 in memory with a spool, and what the spooler does."""
    outbox = Outbox(Limits(events=4, bytes=1000), back=Limits(events=8, bytes=1000))
    spool = Spool(tmp_path / "spool", size)
    outbox.attach(spool)

    def move():
        lines = outbox.overflow(Batching(events=100, bytes=1 << 20), 0)
        spool.append(lines)
        outbox.moved(len(lines), spool.take_lost())

    return outbox, spool, move


def test_what_memory_has_no_room_for_goes_to_the_spool_and_the_order_holds(tmp_path):
    outbox, _, move = spooling(tmp_path)
    offer(outbox, numbered(8))
    move()
    assert (balanced(outbox).waiting, balanced(outbox).spooled) == (8, 4)
    first = outbox.take(SOME)
    outbox.settle(first, 4)
    # There is room in memory now, but older events are on disk.
    offer(outbox, numbered(2, start=8))
    move()
    assert [*first.lines, *take_all(outbox)] == numbered(10)
    offer(outbox, numbered(1, start=10))
    assert (balanced(outbox).spooled, balanced(outbox).written) == (0, 10)
    assert take_all(outbox) == numbered(1, start=10)


def test_a_disk_that_takes_nothing_costs_events_and_never_time(tmp_path):
    outbox, _, _ = spooling(tmp_path)
    offer(outbox, numbered(20))
    assert balanced(outbox).dropped == {Loss.SPOOL_FAILED: 8}
    assert take_all(outbox) == [*numbered(4), *numbered(8, start=12)]


def test_a_full_spool_drops_its_oldest_segment_and_the_account_balances(tmp_path):
    outbox, _, move = spooling(tmp_path, size=1600)
    for start in range(0, 200, 5):
        offer(outbox, numbered(5, start=start))
        move()
        balanced(outbox)
    taken = take_all(outbox)
    counts = balanced(outbox)
    assert counts.dropped == {Loss.SPOOL_FULL: 200 - len(taken)}
    assert taken == [*numbered(4), *numbered(len(taken) - 4, start=204 - len(taken))]
    assert len(taken) > 100


def test_a_segment_dropped_while_its_events_are_in_hand_is_counted_once(tmp_path):
    outbox, _, move = spooling(tmp_path, size=320)
    offer(outbox, numbered(8))
    move()
    outbox.settle(outbox.take(SOME), 4)
    batch = outbox.take(SOME)
    for start in range(8, 108, 4):
        offer(outbox, numbered(4, start=start))
        move()
    outbox.settle(batch, len(batch.lines))
    assert balanced(outbox).written == 4
    take_all(outbox)
    counts = balanced(outbox)
    assert (counts.waiting, counts.spooled) == (0, 0)


def test_a_damaged_segment_is_skipped_and_counted(tmp_path):
    outbox, _, move = spooling(tmp_path, size=640)
    for start in range(0, 24, 4):
        offer(outbox, numbered(4, start=start))
        move()
    oldest = min((tmp_path / "spool").glob("*.events"))
    lost = oldest.stat().st_size // (8 + 1)
    oldest.write_bytes(b"\xff" * oldest.stat().st_size)
    taken = take_all(outbox)
    assert balanced(outbox).waiting in {0, 24 - len(taken) - balanced(outbox).dropped[Loss.SPOOL_DAMAGED]}
    taken += take_all(outbox)
    counts = balanced(outbox)
    assert counts.waiting == 0
    assert 0 < counts.dropped[Loss.SPOOL_DAMAGED] <= lost
    assert counts.written == len(taken) == 24 - counts.dropped[Loss.SPOOL_DAMAGED]


def test_what_was_spooled_before_goes_out_first(tmp_path):
    old = Spool(tmp_path / "spool", 1 << 20)
    old.append(numbered(6))
    old.close()
    outbox = Outbox(back=Limits(events=8, bytes=1000))
    offer(outbox, numbered(2, start=6))
    spool = Spool(tmp_path / "spool", 1 << 20)
    outbox.attach(spool)
    spool.append(outbox.overflow(SOME, 0))
    outbox.moved(2)
    assert balanced(outbox).offered == 8
    assert take_all(outbox) == numbered(8)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("offer"), st.integers(1, 9)),
            st.tuples(st.just("take"), st.integers(0, 4)),
            st.tuples(st.just("refuse"), st.integers(0, 4)),
            st.tuples(st.just("move"), st.just(0)),
        ),
        max_size=60,
    )
)
def test_the_account_balances_and_the_order_holds_whatever_happens(tmp_path_factory, steps):
    outbox, _, move = spooling(tmp_path_factory.mktemp("outbox"), size=480)
    offered, written = 0, []
    for step, count in steps:
        if step == "offer":
            offer(outbox, numbered(count, start=offered))
            offered += count
        elif step == "move":
            move()
        elif (batch := outbox.take(SOME)) is not None:
            done = min(count, len(batch.lines))
            outbox.settle(batch, *((done, 0) if step == "take" else (0, done)), reason="no")
            written += [int(line) for line in batch.lines[:done]] if step == "take" else []
        balanced(outbox)
    assert balanced(outbox).offered == offered
    assert written == sorted(set(written))
    assert balanced(outbox).written == len(written)

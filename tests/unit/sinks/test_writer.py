"""The writer of a sink: in order, tried again, never in anybody's way, and at its end within bounds."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

from framepilot.contract.observed import SinkState
from framepilot_app.sinks.backoff import LONGEST_S, retry_delay
from framepilot_app.sinks.bounded import Limits
from framepilot_app.sinks.file import FileSink
from framepilot_app.sinks.outbox import Loss, Outbox
from framepilot_app.sinks.round import Round
from framepilot_app.sinks.sink import RefusedError, SinkError
from framepilot_app.sinks.spool import Spool, SpoolError
from framepilot_app.sinks.spooler import Spooler
from framepilot_app.sinks.writer import FAILED_AFTER, SinkWriter
from support.eventually import eventually
from support.sink_double import MemorySink, numbered


def writer(sink, outbox, **parts):
    opener = parts.pop("open_sink", sink.open if sink else None)
    return SinkWriter(
        "events", outbox, opener, **{"on_write": lambda _: None, "jitter": lambda: 0.0, "idle_s": 0.01, **parts}
    )


def offer(outbox, lines):
    for line in lines:
        outbox.offer(line)


def balanced(outbox):
    counts = outbox.counts()
    assert counts.offered == counts.written + sum(counts.dropped.values()) + counts.waiting
    return counts


def test_all_events_are_written_in_order_and_the_sink_is_closed():
    sink, outbox = MemorySink(), Outbox()
    events = writer(sink, outbox)
    offer(outbox, numbered(500))
    events.close()
    assert sink.lines == numbered(500)
    assert (sink.opened, sink.closed) == (1, 1)
    assert (balanced(outbox).written, events.error) == (500, None)


def test_every_write_is_timed_whether_the_sink_took_it_or_not():
    sink, outbox, took = MemorySink(errors=[SinkError("away")]), Outbox(), []
    events = writer(sink, outbox, on_write=took.append, clock=itertools.count(step=0.25).__next__)
    offer(outbox, numbered(1))
    events.close()
    assert sink.lines == numbered(1)
    assert took == [0.25, 0.25]


def test_a_sink_that_blocks_holds_nobody_up():
    sink, outbox = MemorySink(), Outbox(Limits(events=10, bytes=1000))
    sink.gate.clear()
    events = writer(sink, outbox)
    outbox.offer(b"0")
    assert sink.entered.wait(60)
    offer(outbox, numbered(99, start=1))
    assert balanced(outbox).dropped == {Loss.FULL: 90}
    sink.gate.set()
    events.close()
    assert sink.lines == [b"0", *numbered(9, start=91)]


def test_a_failing_write_is_tried_again_on_a_sink_that_was_opened_anew():
    sink, outbox = MemorySink([SinkError("no"), SinkError("no", taken=2)]), Outbox()
    events = writer(sink, outbox)
    offer(outbox, numbered(4))
    eventually(lambda: outbox.counts().written == 4)
    assert sink.lines == numbered(4)
    assert sink.opened == sink.closed + 1 == 3
    eventually(lambda: (events.state, events.error) == (SinkState.CONNECTED, None))
    events.close()


def test_a_sink_is_being_tried_again_first_then_failed_and_works_again_in_the_end():
    sink, outbox = MemorySink(), Outbox()
    sink.broken = "the disk is full"
    events = writer(sink, outbox)
    outbox.offer(b"kept")
    eventually(lambda: events.state is SinkState.FAILED)
    assert sink.tries + 0 >= FAILED_AFTER
    assert events.error == "the disk is full"
    sink.broken = None
    eventually(lambda: events.state is SinkState.CONNECTED)
    events.close()
    assert sink.lines == [b"kept"]
    assert (balanced(outbox).written, events.error) == (1, None)


def test_a_failure_shows_while_there_is_nothing_to_write():
    sink, outbox = MemorySink(), Outbox()
    events = writer(sink, outbox)
    eventually(lambda: events.state is SinkState.CONNECTED)
    sink.broken = "the connection was lost"
    eventually(lambda: events.state is SinkState.RETRYING)
    assert events.error == "the connection was lost"
    sink.broken = None
    eventually(lambda: events.state is SinkState.CONNECTED)
    events.close()


def test_a_sink_that_cannot_be_opened_yet_is_opened_later():
    sink, outbox, errors = MemorySink(), Outbox(), [SinkError("not yet")] * 2

    def open_sink():
        if errors:
            raise errors.pop()
        return sink.open()

    events = writer(None, outbox, open_sink=open_sink)
    offer(outbox, numbered(3))
    eventually(lambda: outbox.counts().written == 3)
    events.close()
    assert sink.lines == numbered(3)


def test_events_that_the_receiver_refuses_are_dropped_for_its_reason_and_others_go_on():
    refused = RefusedError("the receiver answered 400", "http-400", taken=1, refused=2)
    sink, outbox = MemorySink([refused]), Outbox()
    offer(outbox, numbered(6))
    events = writer(sink, outbox)
    eventually(lambda: outbox.counts().waiting == 0)
    events.close()
    assert sink.lines == [b"0", *numbered(3, start=3)]
    assert sink.opened == 1
    assert balanced(outbox).dropped == {"http-400": 2}


def test_a_sink_that_raises_something_else_does_not_end_the_thread(caplog):
    sink, outbox = MemorySink([RuntimeError("a bug")]), Outbox()
    events = writer(sink, outbox)
    outbox.offer(b"kept")
    eventually(lambda: outbox.counts().written == 1)
    events.close()
    assert sink.lines == [b"kept"]
    assert "a bug" in caplog.text


def test_the_log_says_once_that_a_sink_fails_however_long_it_does(caplog):
    sink, outbox = MemorySink([SinkError("no")] * 6), Outbox()
    events = writer(sink, outbox)
    outbox.offer(b"kept")
    eventually(lambda: outbox.counts().written == 1)
    events.close()
    assert caplog.text.count("fails and is tried again") == 2


def test_closing_a_dead_sink_gives_its_events_up_and_counts_them():
    sink, outbox = MemorySink(), Outbox()
    sink.broken = "dead"
    events = writer(sink, outbox)
    offer(outbox, numbered(5))
    events.close()
    assert balanced(outbox).dropped == {Loss.CLOSED: 5}
    events.close()


def test_closing_does_not_wait_for_a_sink_that_hangs():
    sink, outbox = MemorySink(), Outbox()
    sink.gate.clear()
    events = writer(sink, outbox)
    offer(outbox, numbered(9))
    assert sink.entered.wait(60)
    events.close(within_s=0.01)
    assert balanced(outbox).dropped == {Loss.CLOSED: 9}
    sink.gate.set()


def test_a_full_disk_is_reported_and_holds_nobody_up():
    outbox = Outbox(Limits(events=10, bytes=1000))
    events = writer(None, outbox, open_sink=lambda: FileSink(Path("/dev/full")))
    offer(outbox, numbered(50))
    eventually(lambda: events.state is SinkState.FAILED)
    assert "No space left" in events.error
    events.close()
    assert balanced(outbox).written == 0


def spooled_writer(sink, folder, size=1 << 20):
    outbox = Outbox(Limits(events=8, bytes=1000), back=Limits(events=1000, bytes=100_000))
    return writer(sink, outbox, spooler=Spooler("events", outbox, lambda: Spool(folder, size))), outbox


def test_what_a_dead_sink_did_not_take_is_spooled_and_written_after_a_restart_in_order(tmp_path):
    sink = MemorySink()
    sink.broken = "dead"
    events, outbox = spooled_writer(sink, tmp_path)
    offer(outbox, numbered(300))
    eventually(lambda: outbox.counts().spooled == 292)
    events.close()
    assert (balanced(outbox).dropped, balanced(outbox).spooled) == ({}, 300)
    again = MemorySink()
    events, outbox = spooled_writer(again, tmp_path)
    offer(outbox, numbered(20, start=300))
    eventually(lambda: outbox.counts().written == 320)
    events.close()
    assert again.lines == numbered(320)


def test_a_sink_that_works_again_gets_what_was_spooled_and_then_what_is_new(tmp_path):
    sink = MemorySink()
    sink.broken = "dead"
    events, outbox = spooled_writer(sink, tmp_path)
    offer(outbox, numbered(100))
    eventually(lambda: outbox.counts().spooled == 92)
    sink.broken = None
    offer(outbox, numbered(100, start=100))
    eventually(lambda: outbox.counts().written == 200)
    events.close()
    assert sink.lines == numbered(200)


def test_a_spool_that_cannot_be_opened_is_said_and_events_are_written_all_the_same(tmp_path):
    def open_spool():
        raise SpoolError("the spool's disk is gone")

    sink, outbox = MemorySink(), Outbox(Limits(events=8, bytes=1000), back=Limits(events=100, bytes=1000))
    sink.broken = "dead"
    events = writer(sink, outbox, spooler=Spooler("events", outbox, open_spool))
    offer(outbox, numbered(50))
    eventually(lambda: events.state is SinkState.FAILED)
    sink.broken = None
    eventually(lambda: outbox.counts().written == 50)
    assert sink.lines == numbered(50)
    assert events.error == "the spool's disk is gone"
    events.close()


def test_what_a_sink_that_hangs_has_in_its_hands_is_spooled_at_the_end(tmp_path):
    sink = MemorySink()
    sink.gate.clear()
    events, outbox = spooled_writer(sink, tmp_path)
    offer(outbox, numbered(50))
    assert sink.entered.wait(60)
    events.close(within_s=0.01)
    assert (balanced(outbox).spooled, balanced(outbox).dropped) == (50, {})
    sink.gate.set()
    eventually(lambda: len(sink.lines) == 4)
    again = MemorySink()
    events, outbox = spooled_writer(again, tmp_path)
    eventually(lambda: outbox.counts().written == 50)
    events.close()
    assert again.lines == numbered(50)


def test_a_receiver_that_refuses_is_not_taken_for_well_while_there_is_nothing_to_send():
    sink, outbox = MemorySink([RefusedError("no", "no", taken=0, refused=1)]), Outbox()
    events = writer(sink, outbox)
    outbox.offer(b"0")
    eventually(lambda: events.state is SinkState.RETRYING)
    checks = sink.checks
    eventually(lambda: sink.checks > checks + 2)
    assert events.state is SinkState.RETRYING
    outbox.offer(b"1")
    eventually(lambda: events.state is SinkState.CONNECTED)
    events.close()


def test_of_two_sinks_that_one_thread_writes_one_may_fail_and_the_other_one_goes_on():
    going_round, broken, whole = Round("test"), MemorySink(), MemorySink()
    broken.broken = "the disk is full"
    failing, others = Outbox(), Outbox()
    failed = writer(broken, failing, going_round=going_round, jitter=lambda: 1.0)
    good = writer(whole, others, going_round=going_round)
    failing.offer(b"kept")
    eventually(lambda: failed.state is SinkState.FAILED)
    offer(others, numbered(100))
    eventually(lambda: others.counts().written == 100)
    good.close()
    assert whole.lines == numbered(100)
    broken.broken = None
    eventually(lambda: failing.counts().written == 1)
    failed.close()
    assert broken.lines == [b"kept"]


def test_the_threads_of_a_closed_sink_are_gone(tmp_path):
    before = threading.active_count()
    events, _ = spooled_writer(MemorySink(), tmp_path)
    events.close()
    eventually(lambda: threading.active_count() == before)


def test_the_wait_before_a_try_grows_up_to_a_bound_and_never_loses_its_floor():
    waits = [retry_delay(failures, 1.0) for failures in range(1, 100)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == LONGEST_S
    assert retry_delay(50, 0.0) == LONGEST_S / 2

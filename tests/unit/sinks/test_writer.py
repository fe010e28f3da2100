from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from framepilot.contract.events import FrameId
from framepilot_app.frames import Delivered, Dropped, DropReason, Frame
from framepilot_app.sinks.file import FileSink
from framepilot_app.sinks.sink import SinkError
from framepilot_app.sinks.writer import SinkWriter

DEADLINE_S = 30
FRAME = Frame(FrameId("ns/svc", "door", 1, 0), np.zeros((2, 2, 3), np.uint8), 0, 0, 1, enforced=False, priority=50)


class MemorySink:
    """Keeps lines; fails the next `failures` writes; holds writes while `gate` is closed."""

    def __init__(self, failures=0, error=None):
        self.lines = []
        self.tries = 0
        self.failures = failures
        self.error = error or SinkError("the disk is full")
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.flushed_at = []
        self.closed = False

    def write(self, line):
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        self.tries += 1
        if self.failures:
            self.failures -= 1
            raise self.error
        self.lines.append(line)

    def flush(self):
        self.flushed_at.append(len(self.lines))

    def close(self):
        self.closed = True


def poll(condition):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def writer(sink, **parts):
    return SinkWriter("events", sink, **{"back_off_s": (0.0, 0.0), **parts})


def numbered(count):
    return [b"%d" % index for index in range(count)]


def test_all_events_are_written_in_order_and_flushed_at_close():
    sink = MemorySink()
    events = writer(sink, capacity=3)
    for line in numbered(500):
        events.put(line)
    events.close()
    assert sink.lines == numbered(500)
    assert sink.flushed_at[-1] == 500
    assert sink.closed
    assert (events.written, events.failed, events.error) == (500, 0, None)


def test_events_are_flushed_when_nothing_waits():
    sink = MemorySink()
    events = writer(sink)
    events.put(b"a")
    poll(lambda: 1 in sink.flushed_at)
    events.close()


def test_a_full_queue_blocks_until_there_is_room():
    sink = MemorySink()
    sink.gate.clear()
    events = writer(sink, capacity=2)
    events.put(b"0")
    assert sink.entered.wait(DEADLINE_S)
    events.put(b"1")
    events.put(b"2")
    passed = threading.Event()
    blocked = threading.Thread(target=lambda: (events.put(b"3"), passed.set()))
    blocked.start()
    poll(lambda: events._blocked == 1)
    assert not passed.is_set()
    sink.gate.set()
    assert passed.wait(DEADLINE_S)
    blocked.join()
    events.close()
    assert sink.lines == numbered(4)


def test_close_writes_what_waits_and_what_is_blocked_in_put():
    sink = MemorySink()
    sink.gate.clear()
    events = writer(sink, capacity=1)
    events.put(b"0")
    assert sink.entered.wait(DEADLINE_S)
    threads = [threading.Thread(target=events.put, args=(line,)) for line in numbered(4)[1:]]
    for thread in threads:
        thread.start()
    # One is in the queue, two wait for room.
    poll(lambda: events._blocked == 2)
    closing = threading.Thread(target=events.close)
    closing.start()
    poll(events._closing.is_set)
    sink.gate.set()
    closing.join(DEADLINE_S)
    assert sorted(sink.lines) == numbered(4)
    for thread in threads:
        thread.join()


def test_nothing_can_be_put_after_close_and_close_is_idempotent():
    events = writer(MemorySink())
    events.close()
    events.close()
    with pytest.raises(SinkError, match="'events' is closed"):
        events.put(b"a")


def test_a_failing_write_is_tried_again():
    sink = MemorySink(failures=2)
    events = writer(sink)
    events.put(b"a")
    events.close()
    assert sink.lines == [b"a"]
    assert (events.written, events.failed, events.error) == (1, 0, None)


def test_an_event_is_given_up_after_the_last_try_and_later_ones_get_one_each():
    sink = MemorySink(failures=10**6)
    events = writer(sink)
    for line in numbered(10):
        events.put(line)
    events.close()
    assert sink.tries == 3 + 9
    assert (events.written, events.failed, events.error) == (0, 10, "the disk is full")


def test_a_sink_that_works_again_has_no_error_but_keeps_the_count():
    sink = MemorySink(failures=3)
    events = writer(sink)
    events.put(b"lost")
    poll(lambda: events.error == "the disk is full")
    events.put(b"kept")
    events.close()
    assert sink.lines == [b"kept"]
    assert (events.written, events.failed, events.error) == (1, 1, None)


def test_a_sink_that_raises_something_else_does_not_end_the_thread(caplog):
    sink = MemorySink(failures=1, error=RuntimeError("a bug"))
    events = writer(sink)
    events.put(b"lost")
    events.put(b"kept")
    events.close()
    assert sink.lines == [b"kept"]
    assert events.failed == 1
    assert "a bug" in caplog.text


def test_close_does_not_wait_for_a_back_off():
    sink = MemorySink(failures=10**6)
    events = writer(sink, back_off_s=(10**6,))
    events.put(b"lost")
    poll(lambda: sink.tries == 1)
    events.close()
    assert events.failed == 1


def test_a_full_disk_is_reported_and_holds_nobody_up():
    events = writer(FileSink(Path("/dev/full")), capacity=2)
    for line in numbered(50):
        events.put(line)
    events.close()
    assert events.failed == 50
    assert "No space left" in events.error


def test_delivered_frames_go_to_every_sink_and_dropped_ones_where_they_are_wanted():
    delivered, dropped = Delivered(FRAME, (), 1.0), Dropped(FRAME, DropReason.LATE)
    plain, full = writer(MemorySink()), writer(MemorySink(), drops=True)
    assert (plain.wants(delivered), plain.wants(dropped)) == (True, False)
    assert (full.wants(delivered), full.wants(dropped)) == (True, True)
    plain.close()
    full.close()

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from framepilot.contract.observed import StreamState
from framepilot_app.streams.open import open_source
from framepilot_app.streams.reader import Reader
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.source import SourceError
from framepilot_app.streams.synthetic import read_number

DEADLINE_S = 30


class Collector:
    """Keeps every offer, and acts after each if told to."""

    def __init__(self, after=lambda _offers: None):
        self.offers = []
        self.reasons = []
        self.over = threading.Event()
        self._after = after

    def offer(self, image, epoch, sequence, captured_at, captured_unix):
        self.offers.append((read_number(image), epoch, sequence, captured_at, captured_unix))
        self._after(self.offers)

    def ended(self, reason):
        self.reasons.append(reason)
        self.over.set()

    def numbers(self):
        return [offer[0] for offer in self.offers]

    def sequences(self):
        return [offer[2] for offer in self.offers]

    def times(self):
        return [offer[3] for offer in self.offers]


class FakeTime(threading.Event):
    """A stop event whose waiting moves the clock instead of taking time."""

    def __init__(self):
        super().__init__()
        self.now = 100.0
        self.waits = []

    def clock(self):
        return self.now

    def wait(self, timeout=None):
        self.waits.append(timeout)
        self.now += timeout
        return self.is_set()


def read_all(settings, *subscribers, time=None, **parts):
    time = time or FakeTime()
    reader = Reader(settings, clock=time.clock, stopping=time, **parts)
    for subscriber in subscribers:
        reader.add(subscriber)
    reader.start()
    for subscriber in subscribers:
        assert subscriber.over.wait(DEADLINE_S)
    reader.stop()
    return reader


def test_every_frame_goes_to_every_subscriber_once_and_in_order():
    first, second = Collector(), Collector()
    reader = read_all(ReaderSettings("test://96x48?frames=50", realtime=False), first, second)
    assert first.numbers() == first.sequences() == list(range(50))
    assert second.offers == first.offers
    assert first.reasons == second.reasons == [None]
    assert reader.status().state is StreamState.ENDED


def test_the_source_is_opened_and_decoded_once_for_all():
    opened = []

    def opener(uri):
        opened.append(uri)
        return open_source(uri)

    read_all(ReaderSettings("test://96x48?frames=5"), Collector(), Collector(), opener=opener)
    assert opened == ["test://96x48?frames=5"]


def test_it_says_how_much_of_a_processor_decoding_took_and_not_how_long_frames_were_waited_for():
    cpu_clock = itertools.count(step=0.25).__next__
    reader = read_all(ReaderSettings("test://96x48?fps=10&frames=4"), Collector(), cpu_clock=cpu_clock)
    assert reader.status().decode_s == 4 * 0.25


def test_frames_are_read_only_because_they_are_shared():
    images = []

    class Keeper(Collector):
        def offer(self, image, *_others):
            images.append(image)

    read_all(ReaderSettings("test://96x48?frames=1"), Keeper())
    with pytest.raises(ValueError, match="read-only"):
        images[0][:] = 0


def test_real_time_follows_the_clock_of_the_source_without_drift():
    collector = Collector()
    read_all(ReaderSettings("test://96x48?frames=100&fps=30"), collector)
    assert collector.times() == pytest.approx([100 + index / 30 for index in range(100)])


def after_a_stall(seconds: float) -> Collector:
    """What is given of 50 frames at 10 a second, the tenth of which takes so long."""
    time = FakeTime()

    def stall(offers):
        if len(offers) == 10:
            time.now += seconds

    collector = Collector(stall)
    read_all(ReaderSettings("test://96x48?frames=50&fps=10"), collector, time=time)
    return collector


def test_who_is_late_does_not_wait_and_loses_no_frame():
    collector = after_a_stall(1.0)
    assert collector.numbers() == list(range(50))
    assert collector.times()[10] == pytest.approx(101.9)
    assert collector.times()[18] == pytest.approx(101.9)
    assert collector.times()[40] == pytest.approx(104)


def test_who_stood_still_for_long_loses_no_frame_and_goes_on_at_the_pace_of_the_source():
    collector = after_a_stall(60.0)
    assert collector.numbers() == list(range(50))
    assert collector.times()[10:] == pytest.approx([160.9 + index / 10 for index in range(40)])


def test_a_cap_in_real_time_leaves_frames_out_and_numbers_the_others_without_gap():
    collector = Collector()
    read_all(ReaderSettings("test://96x48?frames=50&fps=25", fps=5), collector)
    assert collector.numbers() == list(range(0, 50, 5))
    assert collector.sequences() == list(range(10))
    assert collector.times() == pytest.approx([100 + index / 5 for index in range(10)])


def test_a_cap_without_real_time_paces_and_leaves_nothing_out():
    collector = Collector()
    read_all(ReaderSettings("test://96x48?frames=20&fps=25", fps=5, realtime=False), collector)
    assert collector.numbers() == list(range(20))
    assert collector.times()[-1] == pytest.approx(100 + 19 / 5)


def test_without_real_time_and_cap_nothing_waits():
    time = FakeTime()
    read_all(ReaderSettings("test://96x48?frames=20", realtime=False), Collector(), time=time)
    assert time.waits == []


def test_a_loop_opens_the_source_again_with_a_greater_epoch_and_sequences_from_zero():
    enough = threading.Event()
    collector = Collector(lambda offers: len(offers) == 12 and enough.set())
    time = FakeTime()
    settings = ReaderSettings("test://96x48?frames=4&fps=10", loop=True)
    reader = Reader(settings, clock=time.clock, unix_clock=lambda: 1000.0, stopping=time)
    reader.add(collector)
    reader.start()
    assert enough.wait(DEADLINE_S)
    reader.stop()
    assert collector.sequences()[:12] == [0, 1, 2, 3] * 3
    epochs = [offer[1] for offer in collector.offers[:12]]
    assert epochs == [1_000_000] * 4 + [1_000_001] * 4 + [1_000_002] * 4
    # The last frame of a round lasts as long as every other.
    assert collector.times()[:12] == pytest.approx([100 + index / 10 for index in range(12)])
    assert collector.reasons == []


def test_the_epoch_is_the_unix_time_of_the_opening_in_milliseconds():
    collector = Collector()
    reader = read_all(ReaderSettings("test://96x48?frames=1"), collector, unix_clock=lambda: 1_700_000_000.5)
    assert collector.offers[0][1] == reader.status().epoch == 1_700_000_000_500


def test_a_source_that_cannot_be_opened_fails_with_the_reason():
    collector = Collector()
    reader = read_all(ReaderSettings("file:///nowhere/video.mp4"), collector)
    status = reader.status()
    assert status.state is StreamState.FAILED
    assert "/nowhere/video.mp4" in status.reason
    assert collector.reasons == [status.reason]


class Breaking:
    """A source that gives some frames and then raises."""

    fps = None

    def __init__(self, frames, error):
        self._inner = open_source(f"test://96x48?frames={frames + 1}")
        self._left = frames
        self._error = error
        self.closed = False

    def read(self):
        if self._left == 0:
            raise self._error
        self._left -= 1
        return self._inner.read()

    def skip(self):
        return self.read() is not None

    def close(self):
        self.closed = True


def test_a_source_that_breaks_in_the_middle_fails_after_its_frames_and_is_closed():
    source = Breaking(3, SourceError("the camera is gone; check its power"))
    collector = Collector()
    reader = read_all(ReaderSettings("test://any"), collector, opener=lambda _uri: source)
    assert collector.sequences() == [0, 1, 2]
    assert reader.status().state is StreamState.FAILED
    assert collector.reasons == ["the camera is gone; check its power"]
    assert source.closed


def test_an_unexpected_error_fails_the_stream_and_is_logged(caplog):
    source = Breaking(1, ZeroDivisionError("oops"))
    collector = Collector()
    reader = read_all(ReaderSettings("rtsp://admin:s3cret@cam/x"), collector, opener=lambda _uri: source)
    assert reader.status().state is StreamState.FAILED
    assert "ZeroDivisionError" in reader.status().reason
    assert "rtsp://cam/x" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_looping_source_without_frames_fails_instead_of_spinning():
    source = Breaking(0, AssertionError)
    source.read = lambda: None
    collector = Collector()
    reader = read_all(ReaderSettings("test://any", loop=True), collector, opener=lambda _uri: source)
    assert reader.status().state is StreamState.FAILED
    assert "gave no frame" in reader.status().reason


def test_a_subscriber_that_raises_is_removed_and_harms_no_other(caplog):
    def fail(offers):
        raise RuntimeError("subscriber is broken")

    broken, sound = Collector(fail), Collector()
    time = FakeTime()
    reader = Reader(ReaderSettings("test://96x48?frames=10"), clock=time.clock, stopping=time)
    reader.add(broken)
    reader.add(sound)
    reader.start()
    assert sound.over.wait(DEADLINE_S)
    reader.stop()
    assert broken.numbers() == [0]
    assert sound.numbers() == list(range(10))
    assert "subscriber is broken" in caplog.text


def test_a_subscriber_that_raises_at_the_end_harms_no_other(caplog):
    class Rude(Collector):
        def ended(self, reason):
            super().ended(reason)
            raise RuntimeError("no goodbye")

    rude, sound = Rude(), Collector()
    read_all(ReaderSettings("test://96x48?frames=2"), rude, sound)
    assert sound.reasons == [None]
    assert "no goodbye" in caplog.text


def test_subscribers_come_and_go_while_it_runs():
    late = Collector()

    def change(offers):
        if len(offers) == 5:
            reader.add(late)
        if len(offers) == 8:
            reader.remove(late)

    first = Collector(change)
    time = FakeTime()
    reader = Reader(ReaderSettings("test://96x48?frames=20"), clock=time.clock, stopping=time)
    reader.add(first)
    reader.start()
    assert first.over.wait(DEADLINE_S)
    reader.stop()
    assert first.numbers() == list(range(20))
    # Frame 7 was being offered when it was removed, so it may be the last.
    assert late.numbers() in ([5, 6], [5, 6, 7])
    assert late.reasons == []


def test_who_subscribes_after_the_end_is_told_at_once():
    first, late = Collector(), Collector()
    reader = read_all(ReaderSettings("file:///nowhere/video.mp4"), first)
    reader.add(late)
    assert late.reasons == first.reasons


def test_stop_interrupts_a_wait_and_ends_nobody():
    seen = threading.Event()
    collector = Collector(lambda _offers: seen.set())
    reader = Reader(ReaderSettings("test://96x48?fps=0.001"))
    reader.add(collector)
    reader.start()
    assert seen.wait(DEADLINE_S)
    assert reader.status().state is StreamState.RUNNING
    reader.stop()
    assert collector.numbers() == [0]
    assert collector.reasons == []


def test_a_blocked_subscriber_holds_the_reader_until_it_has_room():
    room = threading.Semaphore(3)
    waiting = threading.Event()

    class Lossless(Collector):
        def offer(self, *frame):
            if not room.acquire(blocking=False):
                waiting.set()
                room.acquire()
            super().offer(*frame)

    lossless, other = Lossless(), Collector()
    reader = Reader(ReaderSettings("test://96x48?frames=10", realtime=False))
    reader.add(other)
    reader.add(lossless)
    reader.start()
    assert waiting.wait(DEADLINE_S)
    assert lossless.numbers() == [0, 1, 2]
    assert other.numbers() == [0, 1, 2, 3]
    room.release(100)
    assert lossless.over.wait(DEADLINE_S)
    assert lossless.numbers() == list(range(10))


def test_the_status_before_the_first_frame_is_connecting():
    status = Reader(ReaderSettings("test://96x48")).status()
    assert (status.state, status.fps, status.epoch, status.reason) == (StreamState.CONNECTING, 0, None, None)


def test_the_status_has_the_measured_rate():
    collector = Collector()
    reader = read_all(ReaderSettings("test://96x48?frames=200&fps=20"), collector)
    assert reader.status().fps == pytest.approx(20, rel=0.02)


def test_frames_of_any_size_pass():
    source = Breaking(0, AssertionError)
    pictures = [np.zeros((5, 7, 3), np.uint8), np.zeros((9, 3, 3), np.uint8), None]
    source.read = lambda: pictures.pop(0)
    shapes = []

    class Keeper(Collector):
        def offer(self, image, *_others):
            shapes.append(image.shape)

    read_all(ReaderSettings("test://any"), Keeper(), opener=lambda _uri: source)
    assert shapes == [(5, 7, 3), (9, 3, 3)]

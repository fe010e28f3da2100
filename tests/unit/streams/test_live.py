"""The reader of a live source: a stall is noticed, said and ended, and a call that hangs holds nobody."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from framepilot.contract.observed import StreamState
from framepilot_app.credentials import Credentials
from framepilot_app.streams.attempt import Attempt
from framepilot_app.streams.live import MOST_HANGING, LiveReader
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.source import SourceError
from support.eventually import eventually

URI = "rtsp://camera/main"
TIMEOUT_S = 1.0


class Collector:
    def __init__(self):
        self.offers = []

    def offer(self, image, epoch, sequence, captured_at, captured_unix):
        self.offers.append((epoch, sequence))

    def ended(self, reason):
        raise AssertionError("a live source does not end")


class Camera:
    """Gives `frames` frames, and then does what `then` does."""

    def __init__(self, frames=10**9, then=lambda: False, fps=25, recorded=False):
        self.fps, self.recorded = fps, recorded
        self.closed = threading.Event()
        self._left, self._then = frames, then

    def grab(self):
        if self._left == 0:
            return self._then()
        self._left -= 1
        # As fast as a camera, and not as fast as a loop.
        threading.Event().wait(0.002)
        return True

    def retrieve(self):
        return np.zeros((4, 4, 3), np.uint8)

    def close(self):
        self.closed.set()


class Cameras:
    """What each opening gets, one after the other; the last again and again. An exception is raised, a call called."""

    def __init__(self, *openings):
        self.opened = []
        self._openings = list(openings)

    def __call__(self, settings, login, *, hardware):
        self.opened.append((login, hardware))
        opening = self._openings.pop(0) if len(self._openings) > 1 else self._openings[0]
        if isinstance(opening, Exception):
            raise opening
        return opening if isinstance(opening, Camera) else opening()


@pytest.fixture
def reading():
    readers = []

    def begin(cameras, hang_grace_s=0.05, jitter=lambda: 0.0, timeout_s=TIMEOUT_S, **settings):
        reader = LiveReader(
            ReaderSettings(URI, timeout_s=timeout_s, **settings),
            opener=cameras,
            jitter=jitter,
            hang_grace_s=hang_grace_s,
        )
        collector = Collector()
        reader.add(collector)
        reader.start()
        readers.append(reader)
        return reader, collector

    yield begin
    for reader in readers:
        reader.stop()


@pytest.fixture
def hang():
    """A call that does not come back before the end of the test."""
    released = threading.Event()
    yield lambda: released.wait() and False
    released.set()


def test_a_source_that_ends_is_stalled_with_the_reason_and_opened_again_in_a_new_epoch(reading):
    cameras = Cameras(Camera(frames=3), Camera())
    reader, collector = reading(cameras)
    eventually(lambda: len(collector.offers) > 5)
    first, later = collector.offers[0][0], collector.offers[3][0]
    assert collector.offers[:3] == [(first, 0), (first, 1), (first, 2)]
    assert collector.offers[3] == (later, 0)
    assert later > first
    status = reader.status()
    assert (status.state, status.reason, status.reconnects) == (StreamState.RUNNING, None, 1)
    assert status.trouble.startswith(f"'{URI}' has ended")


def test_a_source_that_cannot_be_opened_is_tried_for_ever_and_says_why(reading):
    cameras = Cameras(SourceError("refused"), SourceError("refused"), Camera())
    reader, collector = reading(cameras)
    eventually(lambda: reader.status().state is StreamState.STALLED)
    assert reader.status().reason == "refused"
    eventually(lambda: collector.offers)
    assert len(cameras.opened) == 3
    assert reader.status().reason is None


def test_a_read_that_hangs_is_said_given_up_and_holds_neither_the_stream_nor_a_stop(reading, hang):
    stuck = Camera(frames=2, then=hang)
    reader, collector = reading(Cameras(stuck, Camera()))
    eventually(lambda: reader.status().reconnects)
    assert reader.status().hung
    assert f"gave no frame for {TIMEOUT_S:g} s" in reader.status().trouble
    eventually(lambda: len(collector.offers) > 5, "frames of the next opening")
    assert not stuck.closed.is_set()
    reader.stop()
    assert not reader._thread.is_alive()


def test_an_opening_that_hangs_is_given_up_and_closed_when_it_comes_back(reading):
    back, late = threading.Event(), Camera()

    def slow():
        back.wait()
        return late

    reader, collector = reading(Cameras(slow, Camera()))
    eventually(lambda: collector.offers, "frames of the next opening")
    assert "could not be opened within" in reader.status().trouble
    back.set()
    eventually(late.closed.is_set)
    eventually(lambda: len(collector.offers) > 2)
    assert {sequence for _, sequence in collector.offers[:3]} == {0, 1, 2}


def test_while_too_many_calls_hang_it_is_not_opened_again(reading, hang):
    cameras = Cameras(hang)
    reader, _ = reading(cameras)
    eventually(lambda: reader.status().hung == MOST_HANGING)
    threading.Event().wait(1.5)
    assert len(cameras.opened) == MOST_HANGING
    assert reader.status().state is StreamState.STALLED


def test_it_is_stalled_before_a_late_call_comes_back_and_what_that_returns_is_not_taken(reading):
    back = threading.Event()
    cameras = Cameras(Camera(frames=1, then=back.wait), SourceError("gone"))
    reader, collector = reading(cameras, hang_grace_s=60)
    eventually(lambda: reader.status().state is StreamState.STALLED)
    assert len(cameras.opened) == 1
    back.set()
    eventually(lambda: len(cameras.opened) > 1)
    assert len(collector.offers) == 1


def test_a_stop_does_not_wait_for_a_camera_that_hangs(reading, hang):
    reader, _ = reading(Cameras(Camera(frames=1, then=hang)), timeout_s=3600)
    eventually(lambda: reader.status().state is StreamState.RUNNING)
    reader.stop()
    assert not reader._thread.is_alive()


def test_an_unexpected_error_is_a_stall_like_another(reading, caplog):
    def broken():
        raise ZeroDivisionError("oops")

    reader, collector = reading(Cameras(broken, Camera()))
    eventually(lambda: collector.offers)
    assert "unexpected ZeroDivisionError" in reader.status().trouble
    assert "oops" in caplog.text


def test_credentials_are_read_at_each_opening_and_changed_ones_are_tried_at_once(reading, tmp_path):
    (tmp_path / "door.password").write_text("old")
    cameras = Cameras(*[SourceError("401")] * 8, SourceError("401"))
    reading(cameras, jitter=lambda: 1.0, credentials=Credentials(tmp_path), login_name="door")
    eventually(lambda: len(cameras.opened) >= 4)
    # The next opening is some seconds away; the new password is not waited for as long.
    before = len(cameras.opened)
    # As kubelet does it: there is no moment at which the file is empty.
    (tmp_path / "written").write_text("new")
    (tmp_path / "written").replace(tmp_path / "door.password")
    eventually(lambda: len(cameras.opened) > before)
    assert [login.password for login, _ in cameras.opened[before - 1 : before + 1]] == ["old", "new"]


def test_credentials_that_cannot_be_read_are_the_reason(reading, tmp_path):
    (tmp_path / "door.password").mkdir()
    cameras = Cameras(Camera())
    reader, collector = reading(cameras, credentials=Credentials(tmp_path), login_name="door")
    eventually(lambda: reader.status().state is StreamState.STALLED)
    assert "door.password' cannot be read" in reader.status().reason
    assert cameras.opened == []
    (tmp_path / "door.password").rmdir()
    eventually(lambda: collector.offers)


def test_a_cap_leaves_live_frames_out_and_numbers_the_others_without_gap(reading):
    _, collector = reading(Cameras(Camera()), fps=50)
    eventually(lambda: len(collector.offers) > 10)
    assert [sequence for _, sequence in collector.offers[:10]] == list(range(10))


def test_a_decoder_of_the_machine_that_gives_nothing_is_done_without(tmp_path):
    cameras = Cameras(SourceError("no such decoder"), Camera(frames=1), Camera())
    reader = LiveReader(ReaderSettings(URI), hardware=True, opener=cameras, jitter=lambda: 0.0)
    reader.start()
    eventually(lambda: len(cameras.opened) == 3)
    reader.stop()
    assert [hardware for _, hardware in cameras.opened] == [True, False, True]


def test_epochs_grow_when_the_clock_on_the_wall_goes_back():
    walls = iter([1000.0, 1000.0, 10.0, 10.0, 10.0])
    cameras = Cameras(Camera(frames=1), Camera())
    reader = LiveReader(ReaderSettings(URI), opener=cameras, jitter=lambda: 0.0, unix_clock=lambda: next(walls, 10.0))
    collector = Collector()
    reader.add(collector)
    reader.start()
    eventually(lambda: len(collector.offers) > 1)
    reader.stop()
    assert collector.offers[0][0] == 1_000_000
    assert collector.offers[1] == (1_000_001, 0)


def test_a_frame_says_how_much_of_a_processor_its_decoding_took():
    took = []
    attempt = Attempt(
        ReaderSettings(URI),
        lambda: Camera(frames=3),
        take=lambda _image, first, decode_s: took.append((first, decode_s)),
        clock=lambda: 0.0,
        changed=lambda: None,
        cpu_clock=itertools.count(step=0.25).__next__,
    )
    attempt.start()
    attempt.join(60)
    assert took == [(True, 0.25), (False, 0.25), (False, 0.25)]

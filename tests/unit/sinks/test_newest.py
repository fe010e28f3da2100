from __future__ import annotations

import weakref

import numpy as np

from framepilot.contract.events import FrameId
from framepilot_app.frames import Delivered, Dropped, DropReason, Frame
from framepilot_app.sinks.newest import KEEP_S, NewestFrames

DOOR = ("shop/lobby", "door")
TILL = ("shop/lobby", "till")


def frame(stream, sequence=0) -> Frame:
    image = np.zeros((2, 2, 3), np.uint8)
    return Frame(FrameId(*stream, 1, sequence), image, 0.0, 0.0, 1.0, enforced=False, priority=50)


def delivered(stream, sequence=0) -> Delivered:
    return Delivered(frame(stream, sequence), (), 1.0)


def test_frames_are_kept_from_the_first_look_on_and_the_newest_replaces_the_one_before():
    newest = NewestFrames()
    newest.emit(delivered(DOOR))
    assert newest.look(DOOR, 0.0) is None
    newest.emit(delivered(DOOR, 1))
    newest.emit(delivered(DOOR, 2))
    assert newest.look(DOOR, 1.0).frame.id.sequence == 2


def test_a_stream_that_nobody_looks_at_and_a_dropped_frame_leave_nothing():
    newest = NewestFrames()
    newest.look(DOOR, 0.0)
    newest.emit(delivered(TILL))
    newest.emit(Dropped(frame(DOOR), DropReason.LATE))
    assert newest.look(DOOR, 0.0) is None
    assert newest.look(TILL, 0.0) is None


def test_what_nobody_has_looked_at_lately_is_let_go_and_so_is_its_picture():
    newest = NewestFrames()
    newest.look(DOOR, 0.0)
    newest.look(TILL, 0.0)
    outcome = delivered(DOOR)
    image = weakref.ref(outcome.frame.image)
    newest.emit(outcome)
    del outcome
    newest.look(TILL, KEEP_S)
    assert newest.forget(KEEP_S) == {DOOR, TILL}
    assert image() is not None
    assert newest.forget(KEEP_S + 0.1) == {TILL}
    assert image() is None
    newest.emit(delivered(DOOR, 1))
    assert newest.look(DOOR, KEEP_S + 1) is None

from __future__ import annotations

from itertools import pairwise

from framepilot_app.streams.trouble import SAME_REASON_S, STEADY_S, Trouble


def test_a_stream_that_never_stalled_is_in_no_trouble():
    assert Trouble().running(5).shown(6) is None


def test_a_stall_is_said_at_once_and_until_frames_have_come_for_a_while():
    trouble = Trouble().running(0).stalled("gone", 100)
    assert trouble.shown(100) == "gone"
    trouble = trouble.running(110)
    assert trouble.shown(110 + STEADY_S - 1) == "gone"
    assert trouble.shown(110 + STEADY_S) is None


def test_a_camera_that_flaps_with_changing_reasons_changes_what_is_said_once_in_a_while():
    trouble, said = Trouble(), []
    for second in range(0, 600, 2):
        trouble = trouble.stalled(f"reason {second}", second).running(second + 1)
        said.append(trouble.shown(second + 1))
    changes = sum(one != other for one, other in pairwise(said))
    assert None not in said
    assert changes <= 600 / SAME_REASON_S


def test_a_stall_after_steady_frames_is_said_with_its_own_reason():
    trouble = Trouble().stalled("old", 0).running(1)
    assert trouble.stalled("new", 1 + STEADY_S).shown(1 + STEADY_S) == "new"

from __future__ import annotations

import cv2
import numpy as np
import pytest

from framepilot.contract.events import FrameId
from framepilot_app.frames import (
    Box,
    Classification,
    Delivered,
    Detections,
    Embedding,
    Frame,
    ItemResult,
    Label,
    ModuleResult,
)
from framepilot_app.web.drawing import COLOURS, MOST_BOXES, SIDE, annotated, jpeg

BOX = Box(100, 80, 200, 160, 0.9, "face")
INPUTS = {"age": ("face",)}


def delivered(*results: ModuleResult, width: int = SIDE, height: int = 480) -> Delivered:
    image = np.full((height, width, 3), 128, np.uint8)
    frame = Frame(FrameId("shop/lobby", "door", 1, 0), image, 0.0, 0.0, 1.0, enforced=False, priority=50)
    return Delivered(frame, results, 1.0)


def detected(*boxes: Box, module: str = "face") -> ModuleResult:
    return ModuleResult(module, "detector", "1", (ItemResult(None, Detections(boxes)),))


def aged(parent: int | None) -> ModuleResult:
    return ModuleResult("age", "age", "1", (ItemResult(parent, Classification((Label("25-32", 0.8),))),))


def changed(picture, left, top, right, bottom) -> bool:
    """Whether anything was drawn there."""
    return bool((picture[top:bottom, left:right] != 128).any())


def test_a_frame_without_detections_stays_as_it_is():
    assert (annotated(delivered(detected()), {}) == 128).all()


def test_the_edges_of_a_box_are_where_the_detection_is_and_its_inside_is_left_alone():
    picture = annotated(delivered(detected(BOX)), {})
    for x, y in ((100, 120), (200, 120), (150, 80), (150, 160)):
        assert tuple(picture[y, x]) == COLOURS[0]
    assert not changed(picture, 104, 84, 197, 157)
    assert not changed(picture, 0, 164, 640, 480)


@pytest.mark.parametrize("times", [0.25, 0.5, 2, 4])
def test_boxes_follow_a_picture_that_is_made_smaller_or_larger(times):
    box = Box(*(times * side for side in (100, 80, 200, 160)), 0.9, "face")
    picture = annotated(delivered(detected(box), width=round(times * SIDE), height=round(times * 480)), {})
    assert picture.shape == (480, SIDE, 3)
    assert tuple(picture[120, 100]) == tuple(picture[160, 150]) == COLOURS[0]


def test_a_label_stands_above_its_box_or_below_it_where_there_is_no_room():
    assert changed(annotated(delivered(detected(BOX)), {}), 102, 66, 150, 78)
    at_the_top = Box(100, 4, 200, 60, 0.9, "face")
    assert changed(annotated(delivered(detected(at_the_top)), {}), 102, 64, 150, 76)
    everywhere = Box(100, 4, 200, 479, 0.9, "face")
    assert changed(annotated(delivered(detected(everywhere)), {}), 102, 465, 150, 477)


def test_what_a_module_says_of_a_detection_stands_at_that_detection():
    other = Box(100, 180, 200, 230, 0.5, "face")
    without = annotated(delivered(detected(BOX, other)), INPUTS)
    first = annotated(delivered(detected(BOX, other), aged(0)), INPUTS) != without
    second = annotated(delivered(detected(BOX, other), aged(1)), INPUTS) != without
    assert first[:80].any()
    assert not first[80:].any()
    assert second[100:180].any()
    assert not second[:100].any()


def test_a_result_of_the_whole_frame_stands_in_its_corner():
    picture = annotated(delivered(aged(None)), {})
    assert changed(picture, 0, 0, 60, 16)
    assert not changed(picture, 0, 24, 640, 480)


@pytest.mark.parametrize(
    "result",
    [
        aged(7),
        ModuleResult("age", "age", "1", (ItemResult(0, Classification(())),)),
        detected(Box(float("nan"), 1, 2, 3, 0.5, "face")),
        ModuleResult("who", "who", "1", (ItemResult(None, Embedding(np.zeros(3))),)),
    ],
)
def test_what_cannot_be_drawn_is_left_out(result):
    assert (annotated(delivered(result), INPUTS) == 128).all()


def test_boxes_beyond_the_picture_odd_labels_and_very_many_are_drawn_as_far_as_they_go():
    outside = Box(-50, -1e300, 5000, float("inf"), 0.9, "größer <b>&" * 40)
    picture = annotated(delivered(detected(*[outside] * (MOST_BOXES + 1))), {})
    assert picture.shape == (480, SIDE, 3)


def test_the_frame_itself_is_not_drawn_into():
    frame = delivered(detected(BOX))
    annotated(frame, {})
    assert (frame.frame.image == 128).all()


def test_the_file_is_a_jpeg_of_the_picture():
    decoded = cv2.imdecode(np.frombuffer(jpeg(annotated(delivered(detected(BOX)), {})), np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (480, SIDE, 3)


@pytest.mark.parametrize(
    ("width", "height", "shape"), [(360, 640, (640, 360, 3)), (96, 4320, (640, 14, 3)), (8, 8, (640, 640, 3))]
)
def test_a_picture_of_any_form_has_a_bounded_size(width, height, shape):
    assert annotated(delivered(width=width, height=height), {}).shape == shape

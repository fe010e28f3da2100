from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.frames import Box
from framepilot_app.models.spec import InputSpec, Resize
from framepilot_app.modules.preprocess import Crop, Pictures, prepare

sides = st.integers(1, 90)
corners = st.floats(-200, 200)
specs = st.builds(
    InputSpec,
    width=sides,
    height=sides,
    colour=st.sampled_from(["rgb", "bgr"]),
    resize=st.sampled_from(Resize),
    pad=st.integers(0, 255),
)


def box(x1, y1, x2, y2):
    return Box(x1, y1, x2, y2, 1.0, "face")


regions = st.none() | st.builds(box, corners, corners, corners, corners)


@given(height=sides, width=sides, region=regions, spec=specs)
def test_the_picture_always_has_the_shape_type_and_layout_of_the_model(height, width, region, spec):
    picture = prepare(np.zeros((height, width, 3), np.uint8), region, spec).picture
    assert picture.shape == (spec.height, spec.width, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous


def to_model(transform, x, y):
    """The inverse of `to_frame`."""
    return (x - transform.offset_x) / transform.scale_x, (y - transform.offset_y) / transform.scale_y


@given(height=sides, width=sides, region=regions, spec=specs, x=corners, y=corners)
def test_the_transform_goes_there_and_back(height, width, region, spec, x, y):
    transform = prepare(np.zeros((height, width, 3), np.uint8), region, spec).transform
    assert transform.to_frame(*to_model(transform, x, y)) == pytest.approx((x, y), abs=1e-6)
    assert (transform.frame_width, transform.frame_height) == (width, height)


@given(height=sides, width=sides, region=regions, spec=specs)
def test_the_crop_fills_a_part_of_the_input_in_the_middle(height, width, region, spec):
    transform = prepare(np.zeros((height, width, 3), np.uint8), region, spec).transform
    crop = Crop.of(region, width, height)
    x1, y1 = to_model(transform, crop.x1, crop.y1)
    x2, y2 = to_model(transform, crop.x2, crop.y2)
    assert -1e-6 <= x1 < x2 <= spec.width + 1e-6
    assert -1e-6 <= y1 < y2 <= spec.height + 1e-6
    assert abs(x1 - (spec.width - x2)) <= 1 + 1e-6
    assert abs(y1 - (spec.height - y2)) <= 1 + 1e-6
    if spec.resize is Resize.STRETCH:
        assert (x1, y1, x2, y2) == pytest.approx((0, 0, spec.width, spec.height), abs=1e-6)
    else:
        assert x2 - x1 == pytest.approx(spec.width) or y2 - y1 == pytest.approx(spec.height)


@given(width=sides, height=sides, region=regions)
def test_a_crop_lies_inside_the_frame_and_is_never_empty(width, height, region):
    crop = Crop.of(region, width, height)
    assert 0 <= crop.x1 < crop.x2 <= width
    assert 0 <= crop.y1 < crop.y2 <= height


@pytest.mark.parametrize(
    ("region", "crop"),
    [
        (None, Crop(0, 0, 20, 10)),
        (box(2.2, 3.8, 5.1, 6.0), Crop(2, 3, 6, 6)),
        (box(-5, -5, 50, 50), Crop(0, 0, 20, 10)),
        (box(4.2, 4.2, 4.3, 4.3), Crop(4, 4, 5, 5)),
        (box(4, 4, 4, 4), Crop(4, 4, 5, 5)),
        (box(8, 8, 2, 2), Crop(8, 8, 9, 9)),
        (box(100, 100, 120, 120), Crop(19, 9, 20, 10)),
        (box(-9, -9, -3, -3), Crop(0, 0, 1, 1)),
    ],
)
def test_regions_become_whole_pixels_of_the_frame(region, crop):
    assert Crop.of(region, 20, 10) == crop


def test_a_pixel_is_found_where_the_transform_says():
    image = np.zeros((60, 80, 3), np.uint8)
    image[40:44, 20:24] = 255
    spec = InputSpec(width=64, height=64, resize=Resize.LETTERBOX)
    prepared = prepare(image, box(10, 20, 50, 60), spec)
    rows, columns = np.nonzero(prepared.picture[..., 0] > 128)
    first = prepared.transform.to_frame(columns.min(), rows.min())
    last = prepared.transform.to_frame(columns.max() + 1, rows.max() + 1)
    assert first == pytest.approx((20, 40), abs=0.7)
    assert last == pytest.approx((24, 44), abs=0.7)


def test_letterbox_keeps_the_aspect_ratio_and_pads_with_the_given_value():
    spec = InputSpec(width=40, height=40, resize=Resize.LETTERBOX, pad=7)
    picture = prepare(np.full((10, 20, 3), 100, np.uint8), None, spec).picture
    assert (picture[:10] == 7).all()
    assert (picture[10:30] == 100).all()
    assert (picture[30:] == 7).all()


@pytest.mark.parametrize(("colour", "expected"), [("bgr", (1, 2, 3)), ("rgb", (3, 2, 1))])
def test_channels_come_in_the_order_of_the_model(colour, expected):
    image = np.broadcast_to(np.array([1, 2, 3], np.uint8), (4, 4, 3))
    picture = prepare(np.ascontiguousarray(image), None, InputSpec(width=4, height=4, colour=colour)).picture
    assert tuple(picture[0, 0]) == expected


def test_a_read_only_frame_is_left_as_it_is():
    image = np.random.default_rng(0).integers(0, 255, (30, 30, 3), np.uint8)
    image.flags.writeable = False
    before = image.copy()
    prepare(image, None, InputSpec(width=30, height=30, colour="bgr")).picture[:] = 0
    assert np.array_equal(image, before)


SPEC = InputSpec(width=4, height=4)


def image(value: int = 0) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


def test_a_picture_is_prepared_once_while_anyone_has_it() -> None:
    pictures, frame = Pictures(), image()
    first = pictures.prepare(frame, box(0, 0, 5, 5), SPEC)
    assert pictures.prepare(frame, box(0, 0, 5, 5), InputSpec(width=4, height=4)) is first


@pytest.mark.parametrize(
    ("region", "spec"),
    [(box(0, 0, 5, 6), SPEC), (None, SPEC), (box(0, 0, 5, 5), InputSpec(width=4, height=4, colour="bgr"))],
    ids=["another part", "the whole frame", "in another way"],
)
def test_another_picture_is_prepared_by_itself(region, spec) -> None:
    pictures, frame = Pictures(), image()
    first = pictures.prepare(frame, box(0, 0, 5, 5), SPEC)
    assert pictures.prepare(frame, region, spec) is not first


def test_an_equal_frame_is_another_one() -> None:
    pictures = Pictures()
    first = pictures.prepare(image(), None, SPEC)
    assert pictures.prepare(image(), None, SPEC) is not first


def test_a_frame_at_the_address_of_one_that_went_is_not_taken_for_it() -> None:
    """An address is used again at once; a picture that somebody has keeps its frame, so that its address is not."""
    pictures, kept = Pictures(), []
    for value in range(200):
        kept.append(pictures.prepare(image(value), None, SPEC))
        if value % 3:
            kept.pop(0)
        assert (kept[-1].picture == value).all() if kept else True


def test_a_picture_and_its_frame_are_freed_with_whoever_had_it_last() -> None:
    pictures, frame = Pictures(), image()
    gc.disable()
    try:
        first = pictures.prepare(frame, None, SPEC)
        second = pictures.prepare(frame, None, SPEC)
        seen = weakref.ref(frame)
        del frame, first
        assert seen() is second.source
        del second
        assert seen() is None
        assert len(pictures._known) == 0
    finally:
        gc.enable()


def test_threads_that_want_the_same_picture_end_up_with_one() -> None:
    pictures, frame = Pictures(), image()
    together = threading.Barrier(4)
    found = []

    def take() -> None:
        together.wait()
        found.append(pictures.prepare(frame, None, SPEC))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1

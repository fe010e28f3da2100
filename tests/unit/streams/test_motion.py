"""What counts as motion in a picture, and what does not."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framepilot_app.frames import Image
from framepilot_app.streams.motion import LIGHT, LONGEST, MOST, cells, change
from framepilot_app.streams.synthetic import SyntheticSettings, SyntheticSource

NOTHING = 0.001
SIZE = (640, 360)


def scene(seed: int = 0) -> Image:
    """Soft, with dark and bright parts, as what a camera sees."""
    tile = np.random.default_rng(seed).integers(20, 120, (9, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(tile, SIZE, interpolation=cv2.INTER_CUBIC), np.uint8)


def noisy(image: Image, deviation: float, seed: int) -> Image:
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def lit(image: Image, factor: float) -> Image:
    return np.clip(image * factor, 0, 255).astype(np.uint8)


def with_object(image: Image, x: int, width: int = 40, height: int = 90) -> Image:
    """Somebody who is seen by about 1.6% of the picture."""
    found = image.copy()
    found[150 : 150 + height, x : x + width] = (200, 210, 220)
    return found


def changed(now: Image, before: Image) -> float:
    return change(cells(now), cells(before))


@pytest.mark.parametrize("size", [(1920, 1080), (640, 360), (360, 640), (64, 48), (8, 8), (5000, 40)])
def test_a_picture_of_any_size_becomes_a_small_one_of_about_its_shape(size: tuple[int, int]) -> None:
    small = cells(np.full((size[1], size[0], 3), 77, np.uint8))
    assert max(small.shape) == LONGEST
    assert min(small.shape) == max(1, round(LONGEST * min(size) / max(size)))
    assert (small == 77).all()


def test_the_same_picture_shows_nothing_new_and_another_one_does() -> None:
    assert changed(scene(), scene()) == 0
    assert changed(scene(1), scene()) > 0.3


@pytest.mark.parametrize("deviation", [5, 15, 30])
def test_noise_is_no_motion(deviation: float) -> None:
    shares = [changed(noisy(scene(), deviation, seed), noisy(scene(), deviation, seed + 100)) for seed in range(20)]
    assert max(shares) <= 0.005


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.25, 1.7])
def test_light_that_changes_everywhere_is_no_motion(factor: float) -> None:
    assert changed(noisy(lit(scene(), factor), 5, 1), noisy(scene(), 5, 2)) <= NOTHING


def test_parts_that_become_as_bright_as_can_be_are_no_motion() -> None:
    bright = scene()
    bright[:, :200] = 200
    assert changed(lit(bright, 1.6), bright) <= NOTHING


@pytest.mark.parametrize("factor", [1, 0.7, 1.5])
@pytest.mark.parametrize("deviation", [0, 15])
def test_somebody_who_comes_is_motion_whatever_light_and_noise_do(factor: float, deviation: float) -> None:
    before, now = noisy(scene(), deviation, 1), noisy(with_object(lit(scene(), factor), 300), deviation, 2)
    assert 0.01 <= changed(now, before) <= 0.03


@pytest.mark.parametrize("picture", ["dark", "covered"])
def test_light_that_goes_out_and_a_camera_that_is_covered_are_changes(picture: str) -> None:
    now = lit(scene(), 0.5 / LIGHT) if picture == "dark" else np.full_like(scene(), 12)
    assert changed(now, scene()) > 0.5
    assert changed(scene(), now) > 0.5


def test_black_pictures_are_compared_without_looking_for_light() -> None:
    black = np.zeros_like(scene())
    assert changed(black, black) == 0
    assert changed(with_object(black, 100), black) > 0.01


def test_what_moves_slowly_adds_up() -> None:
    steps = [with_object(scene(), 300 + step) for step in range(60)]
    between = [changed(now, before) for before, now in pairwise(steps)]
    assert max(between) < 0.01
    assert changed(steps[-1], steps[0]) > 0.02


def test_a_camera_that_turns_is_a_change_though_everything_differs() -> None:
    source = SyntheticSource(SyntheticSettings(320, 240, seed=3))
    pictures = [source.read() for _ in range(20)]
    assert pictures[0] is not None
    assert pictures[-1] is not None
    assert changed(pictures[-1], pictures[0]) > 0.1


def test_another_shape_is_a_change() -> None:
    assert change(np.zeros((36, 64), np.float32), np.zeros((48, 64), np.float32)) == 1


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 1000))
def test_it_is_a_share_and_what_differs_by_far_always_counts(one: int, other: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    before = random.integers(0, 256, (36, 64)).astype(np.float32)
    now = before.copy()
    now[:9], before[:9] = one, other
    share = change(now, before)
    assert 0 <= share <= 1
    if abs(one - other) > MOST:
        assert share >= 0.25

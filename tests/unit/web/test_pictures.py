from __future__ import annotations

import asyncio

import numpy as np
import pytest

from framepilot.contract.events import FrameId
from framepilot_app.frames import Delivered, Frame
from framepilot_app.sinks.newest import KEEP_S, NewestFrames
from framepilot_app.web.pictures import EVERY_S, Pictures

DOOR = ("shop/lobby", "door")


def delivered(sequence: int, height: int = 8) -> Delivered:
    image = np.zeros((height, 8, 3), np.uint8)
    return Delivered(Frame(FrameId(*DOOR, 1, sequence), image, 0.5, 0.0, 1.0, enforced=False, priority=50), (), 1.0)


@pytest.fixture
def newest() -> NewestFrames:
    return NewestFrames()


@pytest.fixture
def pictures(newest):
    pictures = Pictures(newest)
    yield pictures
    pictures.close()


async def test_there_is_a_picture_once_a_frame_came_after_the_first_look(newest, pictures):
    assert await pictures.look(DOOR, {}, 0.0) is None
    newest.emit(delivered(1))
    picture = await pictures.look(DOOR, {}, 0.1)
    assert (picture.frame, picture.captured_at) == ("shop/lobby/door/1/1", 0.5)
    assert picture.jpeg.startswith(b"\xff\xd8")


async def test_who_asks_again_soon_or_for_the_same_frame_gets_the_same_picture(newest, pictures):
    await pictures.look(DOOR, {}, 0.0)
    newest.emit(delivered(1))
    first = await pictures.look(DOOR, {}, 0.0)
    assert await pictures.look(DOOR, {}, EVERY_S * 9) is first
    newest.emit(delivered(2))
    assert await pictures.look(DOOR, {}, EVERY_S / 2) is first
    assert (await pictures.look(DOOR, {}, EVERY_S)).frame.endswith("/2")


async def test_several_who_ask_at_once_share_one_picture(newest, pictures):
    await pictures.look(DOOR, {}, 0.0)
    newest.emit(delivered(1))
    first, *others = await asyncio.gather(*(pictures.look(DOOR, {}, 0.0) for _ in range(5)))
    assert all(other is first for other in others)


async def test_a_picture_is_made_anew_after_nobody_has_looked_for_a_while(newest, pictures):
    await pictures.look(DOOR, {}, 0.0)
    newest.emit(delivered(1))
    await pictures.look(DOOR, {}, 0.0)
    pictures.forget(KEEP_S + 1)
    assert await pictures.look(DOOR, {}, KEEP_S + 1) is None


async def test_a_frame_that_cannot_be_drawn_is_an_error_for_who_asks_and_the_next_one_is_shown(newest, pictures):
    await pictures.look(DOOR, {}, 0.0)
    newest.emit(delivered(1, height=0))
    with pytest.raises(Exception, match="resize"):
        await pictures.look(DOOR, {}, 0.0)
    newest.emit(delivered(2))
    assert (await pictures.look(DOOR, {}, 0.0)).frame.endswith("/2")

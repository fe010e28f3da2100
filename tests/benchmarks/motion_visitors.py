"""A video that is made: a fixed camera in front of which somebody stops now and then."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from framepilot_app.frames import Image
from support.samples.build import build as samples

SIZE = (768, 576)
"""Of a picture, in pixels, as of `vtest`;"""
WIDTHS = (176, 88)
"""so wide is who comes,"""
HEIGHT_TO_WIDTH = 144 / 176
SHARES = [width * width * HEIGHT_TO_WIDTH / (SIZE[0] * SIZE[1]) for width in WIDTHS]
TOP = 250
ALONE_S, WALK_S, TALK_S = 10, 2, 8
"""and so long nobody is there, somebody comes, and stays."""
NOISE = 5.0
"""Standard deviation of its noise, in grey levels of each pixel and colour."""
VISITORS = (
    f"the first picture of `vtest` with noise ({NOISE:g} grey levels). Nothing happens for {ALONE_S} s; then "
    f"`carphone_pristine` comes in from the left for {WALK_S} s, talks for {TALK_S} s and leaves to the right for "
    f"{WALK_S} s; then all that again, and nothing for {ALONE_S} s. The first time it covers {SHARES[0]:.1%} of "
    f"the picture, the second time {SHARES[1]:.1%}."
)
"""What is to be seen, for people."""


def write_visitors(path: Path, fps: int) -> Path:
    """Write it, with so many frames a second."""
    random = np.random.default_rng(0)
    talking = _pictures("carphone_pristine.mp4")[::3]
    talking = [*talking, *talking[::-1]]
    hall = _pictures("vtest.avi", 1)[0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), fps, SIZE)

    def write(picture: Image) -> None:
        writer.write(np.clip(picture + random.normal(0, NOISE, picture.shape), 0, 255).astype(np.uint8))

    for width in WIDTHS:
        size = (width, round(width * HEIGHT_TO_WIDTH))
        middle, end = (SIZE[0] - width) // 2, SIZE[0] - width
        way = [
            *np.linspace(0, middle, WALK_S * fps),
            *[middle] * (TALK_S * fps),
            *np.linspace(middle, end, WALK_S * fps),
        ]
        for _ in range(ALONE_S * fps):
            write(hall)
        for index, x in enumerate(way):
            picture, left = hall.copy(), round(x)
            picture[TOP : TOP + size[1], left : left + width] = cv2.resize(
                talking[index % len(talking)], size, interpolation=cv2.INTER_AREA
            )
            write(picture)
    for _ in range(ALONE_S * fps):
        write(hall)
    writer.release()
    return path


def _pictures(name: str, most: int | None = None) -> list[Image]:
    source, found = cv2.VideoCapture(str(samples() / "videos" / name)), []
    while (most is None or len(found) < most) and (read := source.read())[0]:
        found.append(read[1])
    return found

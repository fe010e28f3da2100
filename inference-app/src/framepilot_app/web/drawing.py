"""What the modules said of a frame, drawn into a copy of it: boxes with their labels, and what is said of each box.

The copy gets its size first, so that the cost is that of the page's picture and not that of the camera's, and text has
the same size on all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import cv2
import numpy as np

from framepilot_app.frames import Box, Classification, Delivered, Detections, Image, ItemResult, Label, ModuleResult

SIDE: Final = 640
"""Pixels of the longer side."""

LONGEST: Final = 48
"""Characters of one line of text."""

MOST_BOXES: Final = 200
"""Of one module; more is not a picture any more."""

Colour = tuple[int, int, int]
COLOURS: Final[tuple[Colour, ...]] = ((80, 220, 255), (255, 190, 90), (140, 230, 120), (240, 150, 235))
"""BGR, one for each detecting module in turn; light enough for dark text."""

_INK: Final[Colour] = (20, 20, 20)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.7
_LINE_HEIGHT: Final = 24


def annotated(delivered: Delivered, inputs: Mapping[str, Sequence[str]]) -> Image:
    """A picture whose longer side is `SIDE`. `inputs` names the modules whose detections are a module's items."""
    image = delivered.frame.image
    scale = SIDE / max(image.shape[:2])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture: Image = np.ascontiguousarray(cv2.resize(image, size, interpolation=way), dtype=np.uint8)
    said = _said(delivered.results)
    detecting = [result for result in delivered.results if _boxes(result)]
    for result, colour in zip(detecting, _endlessly(COLOURS, len(detecting)), strict=True):
        followers = [each.module for each in delivered.results if result.module in inputs.get(each.module, ())]
        for index, box in enumerate(_boxes(result)[:MOST_BOXES]):
            lines = [text for follower in followers for text in said.get((follower, index), ())]
            _draw_box(picture, box, scale, colour, [f"{box.label} {box.score:.0%}", *lines])
    whole = [text for result in delivered.results for text in said.get((result.module, None), ())]
    _write(picture, 0, 0, whole, COLOURS[0])
    return picture


def jpeg(picture: Image, quality: int = 80) -> bytes:
    """The picture as a file.

    Raises:
        cv2.error: it cannot be encoded.
    """
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes()


def _endlessly(colours: Sequence[Colour], count: int) -> list[Colour]:
    return [colours[index % len(colours)] for index in range(count)]


def _boxes(result: ModuleResult) -> tuple[Box, ...]:
    """All detections of a module: a box's place among them is its index."""
    predictions = [item.prediction for item in result.items]
    return tuple(box for prediction in predictions if isinstance(prediction, Detections) for box in prediction.boxes)


def _said(results: Sequence[ModuleResult]) -> dict[tuple[str, int | None], list[str]]:
    """A line for the best label of each item, by module and by what the item was cut from."""
    lines: dict[tuple[str, int | None], list[str]] = {}
    for result in results:
        for item in result.items:
            if (label := _best(item)) is not None:
                line = f"{result.module}: {label.label} {label.score:.0%}"
                lines.setdefault((result.module, item.parent), []).append(line)
    return lines


def _best(item: ItemResult) -> Label | None:
    match item.prediction:
        case Classification(labels=(best, *_)):
            return best
        case _:
            return None


def _draw_box(picture: Image, box: Box, scale: float, colour: Colour, lines: list[str]) -> None:
    sides = [side * scale for side in (box.x1, box.y1, box.x2, box.y2)]
    if any(math.isnan(side) for side in sides):
        return
    # One pixel beyond the picture is as good as any farther one, which OpenCV may not take.
    height, width = picture.shape[:2]
    left, top, right, bottom = (
        round(min(max(side, -1), most)) for side, most in zip(sides, (width, height, width, height), strict=True)
    )
    cv2.rectangle(picture, (left, top), (right, bottom), _INK, 3)
    cv2.rectangle(picture, (left, top), (right, bottom), colour, 1)
    tall = _LINE_HEIGHT * len(lines)
    _write(picture, left, top - tall if top >= tall else max(0, min(bottom + 1, height - tall)), lines, colour)


def _write(picture: Image, left: int, top: int, lines: list[str], colour: Colour) -> None:
    """Lines below each other, each on a ground of its own, so that they can be read on any picture."""
    for position, line in enumerate(lines):
        text = line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
        (width, _), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
        # A box at the right edge keeps its text within the picture.
        start = max(0, min(left, picture.shape[1] - width - 6))
        y = top + position * _LINE_HEIGHT
        cv2.rectangle(picture, (start, y), (start + width + 5, y + _LINE_HEIGHT - 1), colour, cv2.FILLED)
        cv2.putText(picture, text, (start + 3, y + _LINE_HEIGHT - 7), _FONT, _FONT_SCALE, _INK, 1, cv2.LINE_AA)

"""From a frame, or a part of it, to the picture that a model takes, and the way back for what the model says of it.

Whoever takes the same part of the same frame in the same way gets the same picture, while anyone has it: modules of
several services on one camera prepare it once, and what their models have in common can be computed once.

The heavy steps (crop, resize, colour) are a few OpenCV calls, which release the interpreter's lock. Mean and scale are
left to the device (`normalise.py`).

Coordinates are continuous: pixel i of a row covers i to i + 1, so that resizing is a plain factor.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import cv2
import numpy as np

from framepilot_app.frames import Box, Image
from framepilot_app.models.spec import InputSpec, Resize

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Transform:
    """Maps pixels of the model's input to pixels of the frame: frame = model * scale + offset; and the frame's size."""

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    frame_width: int
    frame_height: int

    def to_frame(self, x: float, y: float) -> tuple[float, float]:
        """The point of the frame that this point of the model's input shows. It can lie outside the frame."""
        return x * self.scale_x + self.offset_x, y * self.scale_y + self.offset_y


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Prepared:
    """A picture, ready for a batch. `picture` is height x width x 3 in the model's colour order, contiguous.

    `kept` has what was computed of it and others will want: by the name of the value, a tensor and the row in it. Used
    by the device thread alone.
    """

    picture: Image
    transform: Transform
    source: Image
    """The frame that it was cut from."""
    kept: dict[str, tuple[torch.Tensor, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crop:
    """Whole pixels of a frame: from x1, y1 to x2, y2, these excluded."""

    x1: int
    y1: int
    x2: int
    y2: int

    @classmethod
    def of(cls, region: Box | None, width: int, height: int) -> Crop:
        """The smallest crop that holds the part of the region inside the frame; None: the frame.

        It is never empty: a region that is thinner than a pixel, inside out or outside the frame gives the pixel
        nearest to its first corner, in the dimension where that is so.
        """
        if region is None:
            return cls(0, 0, width, height)
        x1, x2 = _whole_pixels(region.x1, region.x2, width)
        y1, y2 = _whole_pixels(region.y1, region.y2, height)
        return cls(x1, y1, x2, y2)


class Pictures:
    """Prepared pictures that are in use, so that each is prepared once. Thread-safe."""

    def __init__(self) -> None:
        # The picture holds its frame, so that no other frame has its address while it is known.
        self._known: WeakValueDictionary[tuple[int, Box | None, InputSpec], Prepared] = WeakValueDictionary()
        self._lock = threading.Lock()

    def prepare(self, image: Image, region: Box | None, spec: InputSpec) -> Prepared:
        """The one that is there, or a new one, as `prepare` makes it."""
        key = (id(image), region, spec)
        with self._lock:
            known = self._known.get(key)
        if known is not None:
            return known
        made = prepare(image, region, spec)
        with self._lock:
            return self._known.setdefault(key, made)


def prepare(image: Image, region: Box | None, spec: InputSpec) -> Prepared:
    """Cut the region (None: the whole frame) out of a frame and bring it to a model's size and colours.

    Resizing is bilinear, as the models' own pre-processing is.
    """
    frame_height, frame_width = image.shape[:2]
    crop = Crop.of(region, frame_width, frame_height)
    width, height = crop.x2 - crop.x1, crop.y2 - crop.y1
    inner_width, inner_height = _inner_size(width, height, spec)
    left, top = (spec.width - inner_width) // 2, (spec.height - inner_height) // 2

    picture: cv2.typing.MatLike = image[crop.y1 : crop.y2, crop.x1 : crop.x2]
    if (inner_width, inner_height) != (width, height):
        picture = cv2.resize(picture, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    if spec.colour == "rgb":
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    if (inner_width, inner_height) != (spec.width, spec.height):
        right, bottom = spec.width - inner_width - left, spec.height - inner_height - top
        grey = (spec.pad, spec.pad, spec.pad)
        picture = cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey)
    # A copy if it is the frame itself: torch takes no memory that must not be written.
    ready: Image = np.require(picture, np.uint8, ("C", "W"))

    scale_x, scale_y = width / inner_width, height / inner_height
    return Prepared(
        ready,
        Transform(scale_x, scale_y, crop.x1 - left * scale_x, crop.y1 - top * scale_y, frame_width, frame_height),
        image,
    )


def _inner_size(width: int, height: int, spec: InputSpec) -> tuple[int, int]:
    """Width and height of the resized picture inside the model's input."""
    if spec.resize is Resize.STRETCH:
        return spec.width, spec.height
    factor = min(spec.width / width, spec.height / height)
    return min(max(round(width * factor), 1), spec.width), min(max(round(height * factor), 1), spec.height)


def _whole_pixels(begin: float, end: float, size: int) -> tuple[int, int]:
    first = math.floor(min(max(begin, 0), size - 1))
    return first, math.ceil(min(max(end, first + 1), size))

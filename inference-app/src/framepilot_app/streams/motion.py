"""Whether a picture shows anything new since the last one that was run: a still scene needs no inference.

The picture becomes a small grey one, whose cells are compared with those of the last picture that was let through, not
of the one before: so what changes slowly adds up until it counts. Three things that are no motion are allowed for.

- *Light*: a lamp that is dimmed, a cloud, a camera's exposure multiply what every cell shows by about the same factor.
  It is taken to be the median of the cells' ratios, which stays what it is while less than half of the picture changes.
  Beyond `LIGHT` it is a change: somebody switched it off, or covered the camera.
- *Noise* of the sensor: a cell is the mean of up to 16 pixels, and what is left of noise is seen in the cells
  themselves: the median deviation of their differences says how much even those differ that show the same. Only a cell
  that differs by `DEVIATIONS` times that counts.
- *Small differences*, below `LEAST` grey levels: compression, and what noise leaves.

Normalising light before pictures are compared, and thresholds that follow the noise, are in Radke, Andra, Al-Kofahi and
Roysam, "Image Change Detection Algorithms: A Systematic Survey" (IEEE Transactions on Image Processing 14(3), 2005).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framepilot_app.frames import Image

Cells = NDArray[np.float32]
"""A small grey picture: height x width, 0..255."""

LONGEST: Final = 64
"""Cells along the longer side of a picture."""
SAMPLES: Final = 4
"""Pixels along the side of a cell that are looked at, so that a large picture costs no more than a small one."""
LEAST: Final = 10.0
"""Grey levels of 255 by which a cell has to differ in any case,"""
MOST: Final = 20.0
"""and that are enough in any case, however much the others differ: everything may be moving."""
DEVIATIONS: Final = 4.0
"""Standard deviations of the noise by which a cell has to differ."""
DEVIATION_OF_MEDIAN: Final = 1.4826
"""A normal distribution's standard deviation, by the median of the absolute deviations from the median."""
LIGHT: Final = 2.0
"""The factor by which light may change without being a change."""
DARK: Final = 8.0
"""Cells that are darker than this say nothing of the light."""


def cells(image: Image) -> Cells:
    """The small grey picture."""
    height, width = image.shape[:2]
    scale = LONGEST / max(height, width)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    sampled = (min(width, SAMPLES * across), min(height, SAMPLES * down))
    grey = cv2.cvtColor(cv2.resize(image, sampled, interpolation=cv2.INTER_NEAREST), cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, (across, down), interpolation=cv2.INTER_AREA).astype(np.float32)


def change(now: Cells, before: Cells) -> float:
    """The share, 0..1, of cells that show something else; 1 if the pictures differ in shape."""
    if now.shape != before.shape:
        return 1.0
    light = _light(now, before)
    if not 1 / LIGHT <= light <= LIGHT:
        return 1.0
    # What the light made too bright to tell apart is as bright as can be, not brighter.
    difference = now - np.minimum(before * light, 255.0)
    noise = DEVIATION_OF_MEDIAN * float(np.median(np.abs(difference - np.median(difference))))
    threshold = min(max(LEAST, DEVIATIONS * noise), MOST)
    return float(np.mean(np.abs(difference) > threshold))


def _light(now: Cells, before: Cells) -> float:
    """The factor by which the scene became brighter."""
    lit = (now > DARK) & (before > DARK)
    if not lit.any():
        return 1.0
    return float(np.median(now[lit] / before[lit]))

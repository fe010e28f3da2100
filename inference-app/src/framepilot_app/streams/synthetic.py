"""The test source `test://640x480?fps=25&frames=500&seed=1`: a moving pattern with the frame's number burned in twice.

Digits are for people. A strip of black and white cells along the top is for `read_number`: 32 bits of number and 16
bits of checksum, each cell so large that resizing and lossy compression leave it readable. So what a sink saw can be
compared with what the source gave, by the pictures themselves.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from framepilot_app.frames import Image
from framepilot_app.streams.source import SourceError

ROWS = 2
COLUMNS = 24
BAND = 12
"""A row of cells is 1/BAND of the picture's height."""
SMALLEST = (96, 48)
LARGEST = (7680, 4320)
MOST_FRAMES = 1 << 32

_HOW = "write test://WIDTHxHEIGHT?fps=25&frames=500&seed=1 (each parameter is optional)"


@dataclass(frozen=True, slots=True)
class SyntheticSettings:
    """Size in pixels, rate, number of frames (None: endless), and the seed of the pattern."""

    width: int
    height: int
    fps: float = 25
    frames: int | None = None
    seed: int = 0

    @classmethod
    def parse(cls, uri: str) -> SyntheticSettings:
        """Read a `test://` URI.

        Raises:
            SourceError: it is not of that form, or a value is out of range.
        """
        parts = urlsplit(uri)
        try:
            width, height = (int(side) for side in parts.netloc.split("x"))
            pairs = parse_qsl(parts.query, strict_parsing=True) if parts.query else []
            values = dict(pairs)
            settings = cls(
                width,
                height,
                fps=float(values.pop("fps", "25")),
                frames=int(values.pop("frames")) if "frames" in values else None,
                seed=int(values.pop("seed", "0")),
            )
        except ValueError as error:
            raise SourceError(f"'{uri}' is not a test source ({error}); {_HOW}") from error
        if values or len({name for name, _ in pairs}) != len(pairs) or parts.path or parts.fragment:
            raise SourceError(f"'{uri}': a parameter is unknown or given twice; {_HOW}")
        for problem in settings._problems():
            raise SourceError(f"'{uri}': {problem}; {_HOW}")
        return settings

    def _problems(self) -> list[str]:
        problems = []
        if not (SMALLEST[0] <= self.width <= LARGEST[0] and SMALLEST[1] <= self.height <= LARGEST[1]):
            problems.append(f"the size must be from {SMALLEST[0]}x{SMALLEST[1]} to {LARGEST[0]}x{LARGEST[1]}")
        if not 0 < self.fps <= 1000:
            problems.append("fps must be more than 0 and at most 1000")
        if self.frames is not None and not 1 <= self.frames <= MOST_FRAMES:
            problems.append(f"frames must be from 1 to {MOST_FRAMES}")
        if self.seed < 0:
            problems.append("seed must not be negative")
        return problems


def open_synthetic(uri: str) -> SyntheticSource:
    """Open a `test://` URI.

    Raises:
        SourceError: the URI is malformed.
    """
    return SyntheticSource(SyntheticSettings.parse(uri))


class SyntheticSource:
    """The same frames for the same settings, each time it is opened."""

    def __init__(self, settings: SyntheticSettings) -> None:
        self._settings = settings
        self._next = 0
        self._backdrop = _backdrop(settings)

    @property
    def fps(self) -> float:
        """The rate of the URI."""
        return self._settings.fps

    def read(self) -> Image | None:
        """The next picture, or None after the last."""
        number = self._next
        if not self.skip():
            return None
        width, height = self._settings.width, self._settings.height
        shift = number * 2 % width
        image = np.ascontiguousarray(self._backdrop[:, shift : shift + width])
        radius = height // 10
        centre = (number * 5 % width, height // 2 + round(height / 5 * np.sin(number / 10)))
        cv2.circle(image, centre, radius, (60, 220, 240), thickness=-1)
        size = height / 240
        cv2.putText(image, str(number), (width // 24, height * 11 // 12), 0, size, (255, 255, 255), 1 + round(2 * size))
        _burn(image, number)
        return image

    def skip(self) -> bool:
        """Pass over the next picture without drawing it."""
        if self._settings.frames is not None and self._next >= self._settings.frames:
            return False
        self._next += 1
        return True

    def close(self) -> None:
        """Nothing is held."""


def read_number(image: Image) -> int:
    """The number burned into a picture of the test source, of any size and after lossy compression.

    Raises:
        ValueError: there is no number, or it cannot be read any more.
    """
    height, width = image.shape[:2]
    cells = np.empty((ROWS, COLUMNS), dtype=bool)
    for row in range(ROWS):
        for column in range(COLUMNS):
            # The middle half of a cell: its edges are where compression and resizing blur.
            top, bottom = _span((row + 0.25) * height / BAND, (row + 0.75) * height / BAND)
            left, right = _span((column + 0.25) * width / COLUMNS, (column + 0.75) * width / COLUMNS)
            cells[row, column] = image[top:bottom, left:right].mean() > 127
    code = np.packbits(cells.ravel()).tobytes()
    if _checksum(code[:4]) != code[4:]:
        raise ValueError("no frame number can be read: the checksum of the cells does not fit")
    return int.from_bytes(code[:4])


def _burn(image: Image, number: int) -> None:
    code = number.to_bytes(4)
    bits = np.unpackbits(np.frombuffer(code + _checksum(code), dtype=np.uint8)).reshape(ROWS, COLUMNS)
    height, width = image.shape[:2]
    strip = image[: ROWS * height // BAND]
    cells = cv2.cvtColor(bits * np.uint8(255), cv2.COLOR_GRAY2BGR)
    strip[:] = cv2.resize(cells, (width, strip.shape[0]), interpolation=cv2.INTER_NEAREST)


def _checksum(code: bytes) -> bytes:
    # From 0xFFFF, a picture that is black all over has no valid number.
    return binascii.crc_hqx(code, 0xFFFF).to_bytes(2)


def _span(begin: float, end: float) -> tuple[int, int]:
    first = round(begin)
    return first, max(first + 1, round(end))


def _backdrop(settings: SyntheticSettings) -> NDArray[np.uint8]:
    """A soft pattern that repeats after the picture's width, twice as wide, so that a window of it moves seamlessly."""
    random = np.random.default_rng(settings.seed)
    tile = random.integers(20, 150, size=(6, 8, 3), dtype=np.uint8)
    size = (2 * settings.width, settings.height)
    return np.asarray(cv2.resize(np.tile(tile, (1, 2, 1)), size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)

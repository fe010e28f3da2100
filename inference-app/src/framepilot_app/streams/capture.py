"""What OpenCV reads, by FFmpeg or by the system's cameras, as images: the way that files and live sources share.

Decoding is confined to the thread that reads, so that many streams do not start many times as many threads as there
are cores, and so that no thread holds frames back for another one to finish.
"""

from __future__ import annotations

import os
from typing import Final

import cv2
import numpy as np

from framepilot_app.frames import Image
from framepilot_app.streams.source import SourceError

HIGHEST_FPS: Final = 1000.0
"""A header that claims more than this many frames per second holds a time base, not a rate."""

LARGEST_PIXELS: Final = 7680 * 4320
"""The largest frame that is taken; with the number of frames that a stream may hold, it bounds memory."""

MOST_DECODE_ERRORS: Final = 64
"""Frames in a row that may fail to be decoded before a source is said to be broken."""

SOFTWARE: Final = (cv2.CAP_PROP_N_THREADS, 1)
HARDWARE: Final = (cv2.CAP_PROP_HW_ACCELERATION, cv2.VIDEO_ACCELERATION_ANY)
"""Parameters of an opening: whatever decoder the machine and this build of OpenCV have in common."""

# What FFmpeg and OpenCV print about a source is less than what SourceError says, goes to stderr past any log, and can
# hold the URI with its password.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
os.environ.setdefault("OPENCV_FFMPEG_DECODE_ATTEMPTS", str(MOST_DECODE_ERRORS))
# OpenCV opens one source at a time, as FFmpeg once needed it: a camera that is away, and takes all of its time-out,
# would keep every other one from being opened.
os.environ.setdefault("OPENCV_FFMPEG_IS_THREAD_SAFE", "1")


class CaptureSource:
    """One opened capture, named for people by `name`. Used by one thread."""

    def __init__(self, capture: cv2.VideoCapture, name: str) -> None:
        self._capture = capture
        self._name = name
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._fps = fps if 0 < fps <= HIGHEST_FPS else None
        self._frames = capture.get(cv2.CAP_PROP_FRAME_COUNT)

    @property
    def fps(self) -> float | None:
        """The rate in its header, if it is a plausible one."""
        return self._fps

    @property
    def recorded(self) -> bool:
        """Whether it says how long it is, so that its frames do not come at their time by themselves."""
        return self._frames > 0

    def read(self) -> Image | None:
        """The next image, or None at the end."""
        return self.retrieve() if self.grab() else None

    def skip(self) -> bool:
        """Pass over the next image; False at the end."""
        return self.grab()

    def grab(self) -> bool:
        """Decode the next image without converting it to BGR, which is what can be saved of a compressed video."""
        try:
            return self._capture.grab()
        except cv2.error as error:
            raise self._broke(error) from None

    def retrieve(self) -> Image:
        """The image that was grabbed last."""
        try:
            found, image = self._capture.retrieve()
        except cv2.error as error:
            raise self._broke(error) from None
        if not found:
            raise SourceError(f"{self._name}: a frame cannot be converted to BGR; check its format")
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise SourceError(f"{self._name}: a frame is {image.dtype} {image.shape}, not 8-bit colour")
        height, width = image.shape[:2]
        if height * width > LARGEST_PIXELS:
            raise SourceError(f"{self._name}: a frame of {width}x{height} is too large; at most 7680x4320 are taken")
        return np.asarray(image, dtype=np.uint8)

    def close(self) -> None:
        """Give everything back."""
        self._capture.release()

    def _broke(self, error: cv2.error) -> SourceError:
        # OpenCV's own text can hold the URI; its code says as much.
        return SourceError(f"{self._name} broke while it was read (OpenCV error {error.code}); check that it is whole")

"""Video files, decoded by OpenCV's FFmpeg backend: `file:///absolute/path`, percent-encoded.

Decoding is confined to the thread that reads, so that many streams do not start many times as many threads as there
are cores. The number of frames in a file's header is never looked at: it can be wrong, the end is where decoding ends.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2
import numpy as np

from framepilot_app.frames import Image
from framepilot_app.streams.source import SourceError

HIGHEST_FPS = 1000.0
"""A header that claims more than this many frames per second holds a time base, not a rate."""

# What FFmpeg and OpenCV print about a bad file is less than what SourceError says, and goes to stderr past any log.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


def path_of(uri: str) -> Path:
    """The path that a `file://` URI names.

    Raises:
        SourceError: it is not of the form `file:///absolute/path`.
    """
    parts = urlsplit(uri)
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not path.startswith("/") or "\0" in path:
        raise SourceError(f"'{uri}' does not name a file; write file:///absolute/path")
    if parts.query or parts.fragment:
        raise SourceError(f"'{uri}': write '?' as %3F and '#' as %23 in a file's path")
    return Path(path)


def open_file(uri: str) -> FileSource:
    """Open a `file://` URI.

    Raises:
        SourceError: the URI is malformed, or the file does not exist or is not a video.
    """
    return FileSource(path_of(uri))


class FileSource:
    """One video file, from its first frame to its last."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            SourceError: it does not exist, cannot be read or is not a video.
        """
        try:
            # Opening anything else, a named pipe say, could block.
            if path.exists() and not path.is_file():
                raise SourceError(f"video '{path}' is not a regular file; check the path")
            with path.open("rb"):
                pass
        except OSError as error:
            raise SourceError(f"video '{path}' cannot be opened: {error.strerror}; check the path") from error
        self._path = path
        self._capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            raise SourceError(f"'{path}' is not a video that FFmpeg can decode; check that it is whole (try ffprobe)")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._fps = fps if 0 < fps <= HIGHEST_FPS else None

    @property
    def fps(self) -> float | None:
        """The rate in the file's header, if it is a plausible one."""
        return self._fps

    def read(self) -> Image | None:
        """The next image, or None at the end."""
        try:
            found, image = self._capture.read()
        except cv2.error as error:
            raise self._broke(error) from error
        if not found:
            return None
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise SourceError(f"video '{self._path}': a frame is {image.dtype} {image.shape}, not 8-bit colour")
        return np.asarray(image, dtype=np.uint8)

    def skip(self) -> bool:
        """Decode the next image without converting it to BGR, which is what can be saved of a compressed video."""
        try:
            return self._capture.grab()
        except cv2.error as error:
            raise self._broke(error) from error

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _broke(self, error: cv2.error) -> SourceError:
        return SourceError(f"video '{self._path}' broke while it was read: {error}; check that it is whole")

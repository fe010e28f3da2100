"""Opens live sources through OpenCV: RTSP and HTTP by FFmpeg, `device:///dev/video0` by Video4Linux.

FFmpeg gives up opening, and waiting for a frame, after the time-out. That it does is not relied upon: a name server or
a driver can hold it for longer (`streams/attempt.py`).
"""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import Final, Protocol

import cv2

from framepilot_app.credentials import Login
from framepilot_app.frames import Image
from framepilot_app.streams.capture import HARDWARE, SOFTWARE, CaptureSource
from framepilot_app.streams.diagnosis import why_not_opened
from framepilot_app.streams.settings import ReaderSettings
from framepilot_app.streams.source import SourceError
from framepilot_app.streams.transport import GATE
from framepilot_app.streams.uri import PASSWORD, USERNAME, redact, scheme_of, with_login

_DEVICE_BUFFER: Final = 1
"""Frames that the driver keeps back: the newest only."""


class LiveSource(Protocol):
    """One opened live source. Used by one thread. All may raise SourceError."""

    @property
    def fps(self) -> float | None:
        """The rate in its header; None if it has none."""

    @property
    def recorded(self) -> bool:
        """Whether its frames have to be paced, as they would all come at once."""

    def grab(self) -> bool:
        """Decode the next image; False at the end."""

    def retrieve(self) -> Image:
        """The image that was grabbed last, as BGR."""

    def close(self) -> None:
        """Give everything back. Idempotent."""


def open_camera(settings: ReaderSettings, login: Login | None, *, hardware: bool) -> LiveSource:
    """Open a live source; `hardware`: decode with what the machine has for it, if it has.

    Raises:
        SourceError: it cannot be opened; without user name and password.
    """
    uri = settings.source
    if scheme_of(uri) == "device":
        return _open_device(Path(uri.removeprefix("device://")))
    if login is None and (USERNAME in uri or PASSWORD in uri):
        raise SourceError(f"'{redact(uri)}' needs a user name and a password, and there are none; give credentials")
    timeout_ms = max(1, round(settings.timeout_s * 1000))
    timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms)
    parameters = (*timeouts, *SOFTWARE, *(HARDWARE if hardware else ()))
    GATE.enter(settings.transport)
    until = time.monotonic() + settings.timeout_s
    capture = cv2.VideoCapture(with_login(uri, login), cv2.CAP_FFMPEG, parameters)
    if not capture.isOpened():
        left_s = until - time.monotonic()
        if left_s < settings.timeout_s / 10:
            raise SourceError(f"'{redact(uri)}' could not be opened within {settings.timeout_s:g} s")
        reason = why_not_opened(uri, left_s, settings.transport, has_login=login is not None)
        raise SourceError(f"'{redact(uri)}' cannot be opened: {reason}")
    return CaptureSource(capture, f"'{redact(uri)}'")


def _open_device(path: Path) -> CaptureSource:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise SourceError(f"camera '{path}' is not there: {error.strerror}; plug it in, or correct the path") from None
    if not stat.S_ISCHR(mode):
        raise SourceError(f"'{path}' is no device; write device:///dev/video0")
    # Video4Linux takes no time-outs from OpenCV: whoever waits for it has its own.
    capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(
            f"camera '{path}' cannot be opened; check that it is a camera, that this user may read it, and that "
            "nothing else has it"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, _DEVICE_BUFFER)
    return CaptureSource(capture, f"camera '{path}'")

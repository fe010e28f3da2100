"""Video files, decoded by OpenCV's FFmpeg backend: `file:///absolute/path`, percent-encoded.

The number of frames in a file's header is never looked at: it can be wrong, the end is where decoding ends.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import cv2

from framepilot_app.streams.capture import SOFTWARE, CaptureSource
from framepilot_app.streams.source import SourceError


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


class FileSource(CaptureSource):
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
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, SOFTWARE)
        if not capture.isOpened():
            raise SourceError(f"'{path}' is not a video that FFmpeg can decode; check that it is whole (try ffprobe)")
        super().__init__(capture, f"video '{path}'")

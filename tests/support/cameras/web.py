"""A web camera: an HTTP server that gives motion JPEG, or a video file, and misbehaves by path; a process of its own.

Every picture has its number burned in, from 0 with the start of the process, so that a gap shows by itself. `/motion`
is as it should be.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from base64 import b64decode
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import cv2

from framepilot_app.streams.synthetic import SyntheticSettings, SyntheticSource

FPS = 20
SIZES = ((320, 240), (480, 360))
CHANGE_AFTER = 20
ENDS_AFTER = 30
KEPT = 200
BOUNDARY = "picture"


class Pictures:
    """The latest pictures in each size, as JPEG; who watches gets every one from the newest on."""

    def __init__(self) -> None:
        self._sources = [SyntheticSource(SyntheticSettings(width, height)) for width, height in SIZES]
        self._changed = threading.Condition()
        self._latest: deque[tuple[int, list[bytes]]] = deque(maxlen=KEPT)
        threading.Thread(target=self._draw, daemon=True).start()

    def _draw(self) -> None:
        started, number = time.monotonic(), 0
        while True:
            pictures = [cv2.imencode(".jpg", source.read())[1].tobytes() for source in self._sources]
            with self._changed:
                self._latest.append((number, pictures))
                self._changed.notify_all()
            number += 1
            time.sleep(max(0.0, started + number / FPS - time.monotonic()))

    def follow(self, size: int) -> Iterator[tuple[int, bytes]]:
        """Each picture as it comes; `size` -1: another size after every `CHANGE_AFTER`."""
        wanted = self._latest[-1][0] if self._latest else 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda number=wanted: self._latest and self._latest[-1][0] >= number)
                number, pictures = next(each for each in self._latest if each[0] >= wanted)
            wanted = number + 1
            yield number, pictures[size if size >= 0 else number // CHANGE_AFTER % len(pictures)]


class Handler(BaseHTTPRequestHandler):
    pictures: Pictures
    video: Path | None
    password_file: Path | None

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        answers = {
            "/motion": lambda: self._motion(0),
            "/private": self._private,
            "/query": self._query,
            "/sizes": lambda: self._motion(-1),
            "/ends": lambda: self._motion(0, ends_after=ENDS_AFTER),
            "/corrupt": lambda: self._motion(0, corrupt_every=4),
            "/ruined": lambda: self._motion(0, corrupt_every=1),
            "/garbage": self._garbage,
            "/silent": self._silent,
            "/trickle": self._trickle,
            "/video.mp4": self._video,
        }
        # Whoever watched may be gone at any moment.
        with suppress(OSError):
            answers.get(path, lambda: self.send_error(404))()

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace;boundary={BOUNDARY}")
        self.end_headers()

    def _motion(self, size: int, ends_after: int | None = None, corrupt_every: int = 0) -> None:
        self._begin()
        for count, (number, picture) in enumerate(self.pictures.follow(size)):
            if count == ends_after:
                return
            corrupt = corrupt_every and number % corrupt_every == 0 and count > 0
            content = random.Random(number).randbytes(len(picture)) if corrupt else picture
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
            self.wfile.write(head.encode() + content + b"\r\n")

    def _private(self) -> None:
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        if self.password_file and b64decode(given).decode() == f"viewer:{self.password_file.read_text()}":
            self._motion(0)
            return
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="camera"')
        self.end_headers()

    def _query(self) -> None:
        wanted = f"user=viewer&pwd={self.password_file.read_text()}" if self.password_file else None
        if urlsplit(self.path).query == wanted:
            self._motion(0)
        else:
            self.send_error(403)

    def _silent(self) -> None:
        self._begin()
        threading.Event().wait()

    def _garbage(self) -> None:
        self._begin()
        while True:
            self.wfile.write(random.Random(0).randbytes(1 << 14))
            time.sleep(0.01)

    def _trickle(self) -> None:
        """One picture, and then a byte now and then: no time-out of a socket ever runs out."""
        self._begin()
        _, picture = next(self.pictures.follow(0))
        head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
        self.wfile.write((head + picture + b"\r\n") * 3 + head)
        for byte in picture:
            self.wfile.write(bytes([byte]))
            time.sleep(0.05)

    def _video(self) -> None:
        """From where it is asked for: what is needed first stands at the end of an MP4 file."""
        content = self.video.read_bytes() if self.video else b""
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", str(len(content) - first))
        self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[first:])


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error here."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--password-file", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    Handler.pictures, Handler.video, Handler.password_file = Pictures(), arguments.video, arguments.password_file
    Server(("127.0.0.1", arguments.port), Handler).serve_forever()


if __name__ == "__main__":
    main()

"""A web server that serves a folder as a model store, and misbehaves where a test says so."""

from __future__ import annotations

import ssl
import threading
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]
"""Answers one request for a file; gets the file's true content."""


class WebStore:
    """Serves `folder`. `answers` holds, by file name or path, what the next requests get instead, first to last.

    `reader` is the `user:password` that it is read with (None: by everybody), and `given` holds those of each request.
    """

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.folder = folder
        self.answers: dict[str, list[Answer]] = {}
        self.requests: Counter[str] = Counter()
        self.reader: str | None = None
        self.given: list[str | None] = []
        self.released = threading.Event()
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                store.answer(self)

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self._server.server_address[0]}:{self.port}"

    def uri(self, model: str = "tiny", version: str = "1") -> str:
        return f"{self.url}/{model}/{version}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = urlsplit(request.path).path
        name = asked.rpartition("/")[2]
        self.requests[name] += 1
        header = request.headers.get("Authorization")
        self.given.append(None if header is None else b64decode(header.removeprefix("Basic ")).decode())
        path = self.folder / asked.lstrip("/")
        content = path.read_bytes() if path.is_file() else None
        if waiting := self.answers.get(asked.lstrip("/")) or self.answers.get(name):
            waiting.pop(0)(request, content or b"")
        elif self.reader not in {None, self.given[-1]}:
            status(401)(request, b"")
        elif content is None:
            status(404)(request, b"")
        else:
            send(request, content)

    @contextmanager
    def running(self) -> Iterator[WebStore]:
        self._thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def stall(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        """Half of the file, and then nothing until the end of the test."""
        send(request, content[: len(content) // 2], length=len(content))
        request.wfile.flush()
        self.released.wait()

    def hold(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        """Half of the file, then a byte now and then, and the rest as soon as it is released."""
        half = len(content) // 2
        send(request, content[:half], length=len(content))
        # Whoever asked may be gone by now.
        with suppress(OSError):
            while half < len(content) and not self.released.wait(0.2):
                request.wfile.write(content[half : half + 1])
                half += 1
            request.wfile.write(content[half:])

    def trickle(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        """A header that never ends, a line now and then: no time-out of a socket ever runs out."""
        request.wfile.write(b"HTTP/1.0 200 OK\r\n")
        while not self.released.wait(0.02):
            request.wfile.write(b"X-More: yes\r\n")


def send(request: BaseHTTPRequestHandler, content: bytes, length: int | None = None, kind: str = "text/plain") -> None:
    """The content, with a Content-Length that may be another; one below 0 is left out."""
    request.send_response(200)
    request.send_header("Content-Type", kind)
    if length is None or length >= 0:
        request.send_header("Content-Length", str(len(content) if length is None else length))
    request.end_headers()
    request.wfile.write(content)


def instead(content: bytes, length: int | None = None, kind: str = "text/plain") -> Answer:
    """This content for the file's own."""
    return lambda request, _: send(request, content, length, kind)


def status(code: int) -> Answer:
    def answer(request: BaseHTTPRequestHandler, content: bytes) -> None:
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def redirect(location: str, body: bytes = b"") -> Answer:
    def answer(request: BaseHTTPRequestHandler, content: bytes) -> None:
        request.send_response(302)
        request.send_header("Location", location)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def truncate(request: BaseHTTPRequestHandler, content: bytes) -> None:
    send(request, content[: len(content) // 2], length=len(content))


def truncate_silently(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Without a length nobody can tell until the digest is wrong."""
    send(request, content[: len(content) // 2], length=-1)


def hang_up(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.close_connection = True


def endless(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """More than any file may have, without saying how much."""
    send(request, b"", length=-1)
    try:
        while True:
            request.wfile.write(bytes(1 << 16))
    except OSError:
        return

"""A web server that receives batches of events, and misbehaves where a test says so."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class Receiver:
    """Keeps what it answered with 200. `answers` are what the next requests get instead, first to last."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.answers: list[Answer] = []
        self.always: Answer | None = None
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.batches: list[list[dict]] = []
        self.statuses: Counter[int] = Counter()
        self.released = threading.Event()
        self._scheme = "http" if tls is None else "https"
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/hooks/events?site=north"

    def take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.requests.append((request.path, {name.lower(): text for name, text in request.headers.items()}, body))
        if self.answers or self.always:
            (self.answers.pop(0) if self.answers else self.always)(request)
        else:
            self.batches.append(json.loads(body))
            status(200)(request)

    def sequences(self) -> list[int]:
        return [event["data"]["sequence"] for batch in [*self.batches] for event in batch]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def status(code: int, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, text in {"Content-Length": "0", **headers}.items():
            request.send_header(name.replace("_", "-"), text)
        request.end_headers()

    return answer


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.close_connection = True


def garbage(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"\x00\xffthis is not HTTP\r\n\r\n" * 10)
    request.close_connection = True


SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[2], "ab") as file:
            file.write(body + b"\\n")
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class ReceiverProcess:
    """A receiver that can be killed and frozen: it appends each batch to a file as a line before it answers."""

    def __init__(self, port: int, file) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/events"
        self._command = [sys.executable, "-c", SERVER, str(port), str(file)]
        self._file = file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def sequences(self) -> list[int]:
        lines = self._file.read_bytes().splitlines() if self._file.exists() else []
        return [event["data"]["sequence"] for line in lines for event in json.loads(line)]

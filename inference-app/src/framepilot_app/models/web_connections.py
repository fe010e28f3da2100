"""How a fetch reaches the web: http and https and nothing else, by connections that another thread can cut.

Credentials go to the origin of the store, which is its scheme, host and port, and not to where that redirects: each
request is asked for anew whether it goes there.

Proxies and certificate authorities come from the environment: https_proxy, no_proxy, SSL_CERT_FILE.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Self
from urllib.error import HTTPError
from urllib.parse import urlsplit

Origin = tuple[str, str]
"""Scheme, and host with its port unless that is the scheme's own."""


def origin_of(url: str) -> Origin:
    """The origin of a URL as urllib, and nobody else, understands it, because urllib connects to it."""
    request = urllib.request.Request(url)  # noqa: S310 - nothing is opened
    own_port = ":443" if request.type == "https" else ":80"
    return request.type, (request.host or "").lower().removesuffix(own_port)


class Connections:
    """The open connections, so that another thread can cut them. A context: what was opened in it is cut at its end."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def add(self, connection: socket.socket) -> None:
        """Watch over a connection from now on."""
        connection.settimeout(self._silence_s)
        with self._lock:
            # TLS takes the socket over; a duplicate still reaches the connection.
            self._open.append(connection.dup())

    def cut(self) -> None:
        """End them all: whoever waits for one goes on, with an error or the end of the data."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
            self._open.clear()


class _Connection(http.client.HTTPConnection):
    """One that says when it is connected, before anything is sent; for TLS, before the handshake."""

    on_connected: Callable[[socket.socket], None]

    def connect(self) -> None:
        super().connect()
        self.on_connected(self.sock)


class _TlsConnection(http.client.HTTPSConnection, _Connection):
    """The same with TLS: what HTTPSConnection calls to connect is the class above."""


class _Handler(urllib.request.AbstractHTTPHandler):
    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(lambda host, **options: self._watched(_Connection(host, **options)), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        context = ssl.create_default_context()
        return self.do_open(
            lambda host, **options: self._watched(_TlsConnection(host, **options)), request, context=context
        )

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        return self.do_request_(request)

    https_request = http_request

    def _watched(self, connection: _Connection) -> _Connection:
        connection.on_connected = self._connections.add
        return connection


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows http and https, and never from https to anything else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        allowed = {"https"} if req.type == "https" else {"http", "https"}
        if urlsplit(newurl).scheme not in allowed:
            raise HTTPError(req.full_url, code, msg, headers, fp)
        # The handler would read all that comes with the redirection, however much that is.
        fp.close()
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Authorization(urllib.request.BaseHandler):
    """Adds credentials to what is asked of their origin, in a header that a redirection does not take along."""

    def __init__(self, origin: Origin, authorization: str) -> None:
        self._origin = origin
        self._authorization = authorization

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        if origin_of(request.full_url) == self._origin:
            request.add_unredirected_header("Authorization", self._authorization)
        return request

    https_request = http_request


def web_opener(connections: Connections, origin: Origin, authorization: str | None) -> urllib.request.OpenerDirector:
    """An opener for http and https alone, which sends `authorization` to this origin only."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
        _Handler(connections),
    ):
        opener.add_handler(handler)
    if authorization is not None:
        opener.add_handler(_Authorization(origin, authorization))
    return opener

"""A model's folder on a web server: each file is a plain GET below the folder's URL.

Nothing of a server is believed: what it sends is bounded in size and time, and the digests decide whether it is the
model. What may pass by itself, a lost connection or a server's own fault, is tried again a few times; what will not is
said at once. A server that sends a byte now and then keeps every time-out of a socket from running out, so a thread
watches the fetch and cuts its connections when its time is over or nobody wants it any more.
"""

from __future__ import annotations

import http.client
import io
import logging
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.error import HTTPError, URLError

from framepilot_app.models.credentials import Credentials
from framepilot_app.models.model import MODEL_FILE, ModelError, UnavailableError
from framepilot_app.models.patience import POLL_S, Patience
from framepilot_app.models.verify import MAX_BYTES
from framepilot_app.models.web_connections import Connections, origin_of, web_opener

PIECE_BYTES: Final = 1 << 18
_AGAIN: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_MISSING: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

OpenTarget = Callable[[], AbstractContextManager[IO[bytes]]]
"""Opens what a file is written to, empty: it is called for each try."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tries:
    """How long a server may stay silent, and the pauses before each further try."""

    connect_s: float = 10.0
    silence_s: float = 30.0
    pauses_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)


class _InterruptedError(Exception):
    """Something that may pass: worth another try."""


class WebSource:
    """A folder at a URL. A context: its connections end with it."""

    def __init__(
        self, which: str, url: str, patience: Patience, credentials: Credentials, tries: Tries = Tries()
    ) -> None:
        self._which = which
        self._url = url.rstrip("/")
        self._patience = patience
        self._credentials = credentials
        self._tries = tries
        self._connections = Connections(tries.silence_s)
        self._origin = origin_of(self._url)
        self._opener = web_opener(self._connections, self._origin, credentials.authorization)
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._cut_when_over, name="fetch watch", daemon=True)

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watch.join()
        self._connections.cut()

    def model_file(self) -> bytes:
        """`model.yaml`."""
        content = io.BytesIO()

        def emptied() -> nullcontext[io.BytesIO]:
            content.seek(0)
            content.truncate()
            return nullcontext(content)

        self._fetch(MODEL_FILE, emptied)
        return content.getvalue()

    def copy(self, name: str, target: Path) -> None:
        """Fetch one file."""
        self._fetch(name, lambda: target.open("wb"))

    def _fetch(self, name: str, open_target: OpenTarget) -> None:
        url = f"{self._url}/{name}"
        pauses = iter(self._tries.pauses_s)
        while True:
            self._patience.check(f"fetching {url}")
            try:
                self._try(url, open_target, MAX_BYTES[name])
            except _InterruptedError as error:
                self._patience.check(f"fetching {url}: {error}")
                pause = next(pauses, None)
                if pause is None:
                    tried = len(self._tries.pauses_s) + 1
                    raise UnavailableError(
                        self._which, f"{url}: {error}, {tried} times; check that the store is up and can be reached"
                    ) from None
                log.warning("fetching a model was interrupted", extra={"url": url, "reason": str(error)})
                self._patience.pause(pause)
            else:
                # A connection that was cut may look like one that ended.
                self._patience.check(f"fetching {url}")
                return

    def _try(self, url: str, open_target: OpenTarget, max_bytes: int) -> None:
        with self._connections, self._opened(url) as response, open_target() as target:
            length = response.headers.get("Content-Length", "")
            expected = int(length) if length.isdecimal() else None
            if expected is not None and expected > max_bytes:
                raise self._refusal(url, f"is too large: {expected} bytes, allowed are {max_bytes}")
            received = 0
            for piece in _pieces(response):
                received += len(piece)
                if received > max_bytes:
                    raise self._refusal(url, f"is too large: more than the {max_bytes} bytes that are allowed")
                target.write(piece)
            if expected is not None and received < expected:
                raise _InterruptedError(f"the connection ended after {received} of {expected} bytes")

    @contextmanager
    def _opened(self, url: str) -> Iterator[http.client.HTTPResponse]:
        request = urllib.request.Request(url, headers={"User-Agent": "framepilot-app"})  # noqa: S310 - checked before
        try:
            response = self._opener.open(request, timeout=self._tries.connect_s)
        except HTTPError as error:
            # It is an open response, too.
            error.close()
            raise self._status(url, error.code, error.url) from None
        except URLError as error:
            raise self._failure(url, error.reason) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failure(url, error) from None
        with response:
            if response.status != HTTPStatus.OK:
                raise self._status(url, response.status, response.url)
            if response.headers.get_content_type() == "text/html":
                raise self._error(
                    url, "is a web page and no file of a model: a login or an error page; check the store's URL"
                )
            yield response

    def _status(self, url: str, code: int, answered_by: str) -> Exception:
        if code >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _AGAIN:
            return _InterruptedError(f"the server answers {_named(code)}")
        if code in _MISSING:
            return self._error(
                url, f"is not there ({_named(code)}); check the store's URL, and that the whole folder is in the store"
            )
        if code in _REFUSED:
            if origin_of(answered_by) != self._origin:
                return self._error(
                    url,
                    f"is refused ({_named(code)}) by another server, to which the store redirects and no credentials "
                    "are sent; write the store's real URL",
                )
            return self._error(url, f"is refused ({_named(code)}), {self._credentials.why_refused}")
        if code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return self._error(url, f"is refused by the proxy ({_named(code)}); correct http_proxy")
        if 300 <= code < 400:
            return self._error(
                url,
                "is redirected to where nothing is fetched from: http and https are followed, from https only https, "
                "and not in a circle; write the store's real URL",
            )
        return self._error(url, f"cannot be fetched: the server answers {_named(code)}; check the store's URL")

    def _failure(self, url: str, error: object) -> Exception:
        match error:
            case ssl.SSLCertVerificationError():
                return self._error(
                    url,
                    f"cannot be fetched: the server's certificate is not trusted ({error.verify_message}); set "
                    "SSL_CERT_FILE to the file of its authority, or correct the host name",
                )
            case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
                return _InterruptedError("the connection ended")
            case ssl.SSLError():
                return self._error(
                    url, f"cannot be fetched: no TLS with this server ({error.reason}); check scheme and port"
                )
            case TimeoutError():
                return _InterruptedError("no answer in time")
            case socket.gaierror():
                return _InterruptedError(f"its host cannot be found: {error.strerror}")
            case OSError():
                return _InterruptedError(error.strerror or str(error) or "the connection ended")
            case http.client.InvalidURL() | ValueError():
                return self._refusal(url, "is no URL; correct the store's")
            case str():
                return self._error(url, f"cannot be fetched: {error}; check the store's URL")
            case _:
                return _InterruptedError(f"no HTTP answer ({type(error).__name__})")

    def _error(self, url: str, what: str) -> UnavailableError:
        """Of what somebody may mend in the store, or on the way to it."""
        return UnavailableError(self._which, f"{url} {what}")

    def _refusal(self, url: str, what: str) -> ModelError:
        return ModelError(self._which, f"{url} {what}")

    def _cut_when_over(self) -> None:
        while not self._ended.wait(POLL_S):
            if self._patience.over:
                self._connections.cut()


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            piece = response.read1(PIECE_BYTES)
        except TimeoutError:
            raise _InterruptedError("nothing more came in time") from None
        except (OSError, http.client.HTTPException):
            raise _InterruptedError("the connection ended early") from None
        if not piece:
            return
        yield piece


def _named(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)

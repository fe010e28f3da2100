"""Why a network source cannot be opened: FFmpeg says nothing through OpenCV, so its server is asked once more.

Never with the user name or the password: that a server asks for them is answer enough. And for no longer than is left
of the time-out of the opening.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit

PORTS: Final = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_LONGEST_ANSWER: Final = 4096


def why_not_opened(uri: str, timeout_s: float, transport: str, *, has_login: bool) -> str:
    """What is wrong and what to do, in one sentence part; `uri` has no credentials in it."""
    parts = urlsplit(uri)
    until = time.monotonic() + timeout_s
    try:
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    except ValueError:
        return "its port is no number from 1 to 65535; correct it"
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            status = _status(connection, parts, until)
    except socket.gaierror:
        return f"the host name '{host}' is not known here; correct it, or the name server"
    except TimeoutError:
        return f"{host}:{port} does not answer; check that it runs and can be reached"
    except ConnectionRefusedError:
        return f"{host}:{port} refuses connections; check that it runs, and the port"
    except OSError as error:
        return f"{host}:{port} cannot be reached: {error.strerror or type(error).__name__}"
    if status is not None and (status < 400 or status >= 500):
        what = "with nothing that FFmpeg can decode" if status < 400 else f"with status {status}"
        other = f", or not by {transport}; try another transport" if parts.scheme.startswith("rtsp") else ""
        return f"{host}:{port} answers, but {what}{other}"
    return _meaning(status, host, port, has_login=has_login)


def _status(connection: socket.socket, parts: SplitResult, until: float) -> int | None:
    """The status code of the server's answer; None if it is no answer of this protocol.

    Raises:
        OSError: there is no answer before `until`, in monotonic seconds, or the connection broke.
    """
    secure = parts.scheme in {"rtsps", "https"}
    # A camera's certificate is hardly ever signed by somebody known here; nothing secret is sent.
    context = ssl._create_unverified_context() if secure else None  # noqa: S323, SLF001
    talking = context.wrap_socket(connection, server_hostname=parts.hostname) if context else connection
    with talking:
        talking.sendall(_question(parts))
        first = b""
        while b"\n" not in first and len(first) < _LONGEST_ANSWER:
            if (left_s := until - time.monotonic()) <= 0:
                raise TimeoutError
            talking.settimeout(left_s)
            received = talking.recv(_LONGEST_ANSWER)
            if not received:
                break
            first += received
    words = first.split(b"\n", 1)[0].split()
    expected = b"HTTP/" if parts.scheme.startswith("http") else b"RTSP/"
    if len(words) >= 2 and words[0].startswith(expected):
        with suppress(ValueError):
            return int(words[1])
    return None


def _question(parts: SplitResult) -> bytes:
    where = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme.startswith("http"):
        return f"GET {where} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode()
    url = f"rtsp://{parts.netloc}{where}"
    return f"DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode()


def _meaning(status: int | None, host: str, port: int, *, has_login: bool) -> str:
    if status is None:
        return f"{host}:{port} answers in another protocol; check scheme and port"
    if status in {401, 403}:
        if has_login:
            return f"{host}:{port} does not accept the user name and password that are in its files; correct them there"
        return f"{host}:{port} asks for a user name and a password (status {status}); give them as credentials"
    if status in {404, 410}:
        return f"{host}:{port} has nothing under this path (status {status}); correct it"
    return f"{host}:{port} answers with status {status}"

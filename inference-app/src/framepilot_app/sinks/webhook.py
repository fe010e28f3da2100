"""Events as batches to a web server: one POST with a JSON array of CloudEvents, signed if there is a secret.

https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md, batched content mode. An
answer of 2xx means that the batch was taken. What a client did wrong (4xx) it would do wrong again, so that batch is
dropped; anything else is tried again. Redirects are not followed: what is signed for one receiver is not for another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from framepilot.contract.desired import SinkTls
from framepilot_app.credentials import Credentials, CredentialsError
from framepilot_app.sinks.signature import signed_headers
from framepilot_app.sinks.sink import Batching, RefusedError, SinkError
from framepilot_app.sinks.tls import tls_context

CONTENT_TYPE: Final = "application/cloudevents-batch+json"
CONNECT_S: Final = 5.0
ANSWER_S: Final = 10.0
LONGEST_RETRY_AFTER_S: Final = 300.0
TRY_AGAIN: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class WebhookSink:
    """Sends batches one after the other."""

    batching = Batching(events=100, bytes=1 << 20, linger_s=1.0)

    def __init__(
        self,
        name: str,
        url: str,
        tls: SinkTls | None,
        credentials: Credentials,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is sent yet.

        Raises:
            SinkError: a file of certificates cannot be used.
        """
        parts = urlsplit(url)
        self._name = name
        self._url = url
        # The path may hold what nobody else should know.
        self._shown = f"{parts.scheme}://{parts.netloc}"
        self._tls = tls_context(name, tls) if parts.scheme == "https" else None
        self._credentials = credentials
        self._now = now
        self._runner = asyncio.Runner()
        self._session = self._runner.run(self._new_session())

    def write(self, lines: Sequence[bytes]) -> None:
        """Send one batch and wait for the answer.

        Raises:
            RefusedError: the receiver does not want it.
            SinkError: there was no answer, or one that says to try again.
        """
        body = b"[" + b",".join(lines) + b"]"
        try:
            headers = signed_headers(body, self._credentials.secret(self._name), self._now())
        except CredentialsError as error:
            raise SinkError(f"sink '{self._name}': {error}") from error
        except ValueError:
            message = f"sink '{self._name}': '{self._name}.secret' is no secret; write whsec_ and base64"
            raise SinkError(message) from None
        try:
            status, retry_after = self._runner.run(self._post(body, headers))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            detail = f"no answer within {ANSWER_S:.0f} s" if isinstance(error, TimeoutError) else _short(error)
            raise SinkError(f"{self._shown}: {detail}; check the receiver and the network") from error
        self._judge(status, retry_after, len(lines))

    def check(self) -> None:
        """Nothing can be known without sending."""

    def close(self) -> None:
        """Close the connection. Idempotent."""
        if not self._session.closed:
            self._runner.run(self._session.close())
            self._runner.close()

    def _judge(self, status: int, retry_after: str | None, sent: int) -> None:
        if 200 <= status < 300:
            return
        answered = f"{self._shown} answered {status}"
        if 300 <= status < 400:
            raise SinkError(f"{answered}: redirects are not followed; write the address it leads to into `url`")
        if 400 <= status < 500 and status not in TRY_AGAIN:
            message = f"{answered}: it does not want these events, they are dropped; check `url` and the secret"
            raise RefusedError(message, f"http-{status}", taken=0, refused=sent)
        raise SinkError(f"{answered}; it is asked again", retry_after_s=_seconds(retry_after, self._now()))

    async def _new_session(self) -> aiohttp.ClientSession:
        # One connection, used again while the receiver keeps it.
        connector = aiohttp.TCPConnector(limit=1) if self._tls is None else aiohttp.TCPConnector(limit=1, ssl=self._tls)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S, connect=CONNECT_S)
        return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def _post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str | None]:
        all_headers = {"Content-Type": CONTENT_TYPE, **headers}
        async with self._session.post(self._url, data=body, headers=all_headers, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Retry-After")


def _seconds(retry_after: str | None, now: float) -> float:
    """How long a receiver asks to wait: seconds or a date; what is neither asks for nothing."""
    if retry_after is None:
        return 0.0
    try:
        wait = float(retry_after) if retry_after.isdigit() else parsedate_to_datetime(retry_after).timestamp() - now
    except ValueError:
        return 0.0
    return min(max(wait, 0.0), LONGEST_RETRY_AFTER_S)


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

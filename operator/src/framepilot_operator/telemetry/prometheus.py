"""Asks a Prometheus server what it knows of devices: one query, bounded in time and in size.

https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
"""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp

from framepilot_operator.telemetry.device_samples import EXPRESSION, measurements
from framepilot_operator.telemetry.measurement import Measurement
from framepilot_operator.telemetry.prometheus_answer import AnswerError, samples
from framepilot_operator.telemetry.prometheus_server import PrometheusServer

MOST_BYTES: Final = 16 * 2**20
"""A few thousand GPUs; what is larger answers another question."""
TIMEOUT_S: Final = 4.0


class PrometheusError(Exception):
    """The server did not say: which address, what happened, what to do."""


class PrometheusClient:
    """One HTTP session. Create and use it in one event loop, and close it."""

    def __init__(self, server: PrometheusServer, timeout_s: float = TIMEOUT_S) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._query = f"{server.url.rstrip('/')}/api/v1/query"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s))

    async def devices(self) -> tuple[Measurement, ...]:
        """What it knows of devices.

        Raises:
            PrometheusError: no answer in time, or not the answer of a Prometheus server.
        """
        url = self._server.url
        try:
            async with self._session.get(
                self._query,
                params={"query": EXPRESSION},
                headers=self._headers(),
                # What a login page, or another server, answers is of no use; and a token goes to one address only.
                allow_redirects=False,
                ssl=True if self._server.ca_file is None else ssl.create_default_context(cafile=self._server.ca_file),
            ) as response:
                _judge(response)
                body = await _bounded(response)
            return measurements(samples(body))
        except TimeoutError as error:
            raise PrometheusError(f"{url}: no answer within {self._timeout_s:g} s") from error
        except (aiohttp.ClientError, AnswerError, OSError, ValueError) as error:
            raise PrometheusError(f"{url}: {error}") from error

    async def close(self) -> None:
        """Give the connection back."""
        await self._session.close()

    def _headers(self) -> dict[str, str]:
        file = self._server.token_file
        return {} if file is None else {"Authorization": f"Bearer {file.read_text(encoding='utf-8').strip()}"}


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(2**16):
        body += chunk
        if len(body) > MOST_BYTES:
            raise AnswerError(f"its answer has more than {MOST_BYTES / 2**20:.0f} MiB")
    return bytes(body)


def _judge(response: aiohttp.ClientResponse) -> None:
    """Raises AnswerError: it is no answer but a refusal."""
    match response.status:
        case 200:
            return
        case 401 | 403:
            raise AnswerError(f"HTTP {response.status}: it takes a token that may query; give it in a file")
        case status if 300 <= status < 400:
            where = response.headers.get("Location")
            raise AnswerError(f"HTTP {status}: it sends on to {where}; give the address itself")
        case status:
            raise AnswerError(f"HTTP {status} {response.reason}")

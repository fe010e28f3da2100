"""Asks Prometheus on a clock of its own and keeps what it said last, so that nobody else waits for it.

It is asked less often while it fails. That it went away, and that it came back, is said once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from framepilot_operator.telemetry.measurement import Measurement
from framepilot_operator.telemetry.prometheus import PrometheusClient, PrometheusError
from framepilot_operator.telemetry.prometheus_server import PrometheusServer

EVERY_S: Final = 5.0
SELDOM_S: Final = 60.0
"""Between two questions at most, while it fails."""

_log = logging.getLogger(__name__)


class Client(Protocol):
    """Who asks."""

    async def devices(self) -> tuple[Measurement, ...]:
        """What is known of devices.

        Raises:
            PrometheusError: it is not known now.
        """

    async def close(self) -> None:
        """Ask no more."""


class PrometheusWatch:
    """What one server said last, and why it says nothing now, if it does not. Used in one event loop."""

    def __init__(self, connect: Callable[[], Client], every_s: float = EVERY_S) -> None:
        """`connect` makes the client, inside the event loop."""
        self._connect = connect
        self._every_s = every_s
        self._failures = 0
        self.latest: tuple[Measurement, ...] = ()
        self.silence: str | None = "Prometheus is being asked for the first time"

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        client = self._connect()
        try:
            while True:
                await self.ask(client)
                await asyncio.sleep(pause_s(self._every_s, self._failures))
        finally:
            await client.close()

    async def ask(self, client: Client) -> None:
        """Ask once. What was said before is kept while there is no answer: it grows old by itself."""
        try:
            self.latest = await client.devices()
        except PrometheusError as error:
            self._failures += 1
            self.silence = str(error)
            if self._failures == 1:
                _log.warning("Prometheus does not say how devices are used, and is asked again: %s", error)
            return
        if self._failures:
            _log.info("Prometheus says how devices are used again")
        self._failures = 0
        self.silence = None


def watch_prometheus(server: PrometheusServer | None) -> PrometheusWatch | None:
    """What asks this server; None where there is none to ask."""
    return None if server is None else PrometheusWatch(lambda: PrometheusClient(server))


def pause_s(every_s: float, failures: int) -> float:
    """How long to wait before the next question, after so many failures in a row."""
    return min(max(SELDOM_S, every_s), every_s * 2.0 ** min(failures, 16))

"""The devices of a look at instances, with what a Prometheus server says of them, if one is named."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from framepilot_operator.commands.instance_look import DeviceLook, Look
from framepilot_operator.telemetry.device_view import Said, device_views
from framepilot_operator.telemetry.measurement import Measurement
from framepilot_operator.telemetry.prometheus import PrometheusClient, PrometheusError
from framepilot_operator.telemetry.prometheus_server import PrometheusServer

LookAtDevices = Callable[[Look], Awaitable[DeviceLook]]


@asynccontextmanager
async def looking_at_devices(server: PrometheusServer | None) -> AsyncIterator[LookAtDevices]:
    """What makes of a look that was just taken the views of its devices."""
    client = None if server is None else PrometheusClient(server)

    async def views(look: Look) -> DeviceLook:
        at = time.time()
        scraped: tuple[Measurement, ...] = ()
        silence: str | None = None
        if client is not None:
            try:
                scraped = await client.devices()
            except PrometheusError as error:
                silence = str(error)
        return DeviceLook(device_views(_said(look, at), scraped, time.time()), silence)

    try:
        yield views
    finally:
        if client is not None:
            await client.close()


def _said(look: Look, at: float) -> list[Said]:
    return [Said(name, state.device.use, at) for name, state in look.states.items() if state.device.use is not None]

"""HTTP, read-only: whether to restart the process, whether it does its work, and its metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Probes(Protocol):
    """What the server asks the process."""

    def unhealthy(self) -> str | None:
        """Why the process should be restarted; None if it is well."""

    def not_ready(self) -> str | None:
        """Why it neither works nor waits for its turn; None if it does."""


async def serve(probes: Probes, registry: CollectorRegistry, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Start to listen; returns the runner (to be cleaned up) and the address in force as HOST:PORT.

    Raises:
        OSError: the address cannot be listened on.
    """
    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", _probe(probes.unhealthy)),
            web.get("/readyz", _probe(probes.not_ready)),
            web.get("/metrics", _metrics(registry)),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    bound_host, bound_port = runner.addresses[0][:2]
    return runner, f"{bound_host}:{bound_port}"


def _probe(why_not: Callable[[], str | None]) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        reason = why_not()
        return web.Response(text=reason or "ok", status=503 if reason else 200)

    return handle


def _metrics(registry: CollectorRegistry) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handle

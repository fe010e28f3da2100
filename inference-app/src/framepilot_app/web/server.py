"""HTTP, read-only: nothing that a client sends changes what runs. What may be changed is in the desired state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from framepilot.contract.observed import ObservedState
from framepilot_app.telemetry.exposition import CONTENT_TYPE, exposition
from framepilot_app.web.page import Page


class Probes(Protocol):
    """What the server asks the app."""

    def unhealthy(self) -> str | None:
        """Why the process should be restarted; None if it is well."""

    def not_ready(self) -> str | None:
        """Why it does not serve yet; None if it does."""

    def observe(self) -> ObservedState:
        """What it is doing now."""


async def serve(
    probes: Probes, registry: CollectorRegistry, page: Page | None, host: str, port: int
) -> tuple[web.AppRunner, str]:
    """Start to listen; returns the runner (to be cleaned up) and the address in force as HOST:PORT.

    Without a `page`, nothing is shown to people.

    Raises:
        OSError: the address cannot be listened on.
    """
    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", _probe(probes.unhealthy)),
            web.get("/readyz", _probe(probes.not_ready)),
            web.get("/status", _status(probes)),
            web.get("/metrics", _metrics(registry)),
            *(page.routes() if page else ()),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    bound_host, bound_port = runner.addresses[0][:2]
    return runner, f"{bound_host}:{bound_port}"


Handler = Callable[[web.Request], Awaitable[web.Response]]


def _probe(why_not: Callable[[], str | None]) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        reason = why_not()
        return web.Response(text=reason or "ok", status=503 if reason else 200)

    return handle


def _status(probes: Probes) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=probes.observe().model_dump_json(), content_type="application/json")

    return handle


def _metrics(registry: CollectorRegistry) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=exposition(registry), headers={"Content-Type": CONTENT_TYPE})

    return handle

"""The part of an API server that keeps Leases: one in memory, with optimistic locking, and ways to misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes.aio.client.configuration import Configuration


class LeaseApi:
    """`lease` is what is stored, `writes` how often it was; while `hangs` is set no request is answered."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.writes = 0
        self.hangs = False
        self.forbids = False
        self.url = ""
        self._freed = asyncio.Event()

    @property
    def holder(self) -> str | None:
        return None if self.lease is None else self.lease["spec"].get("holderIdentity")

    def hand_to(self, holder: str) -> None:
        """As if another process had taken it."""
        assert self.lease is not None
        self._store({"metadata": {}, "spec": {**self.lease["spec"], "holderIdentity": holder}})

    def configuration(self) -> Configuration:
        configuration = Configuration()
        configuration.host = self.url
        return configuration

    def free(self) -> None:
        """Let the requests that hang end."""
        self._freed.set()

    async def get(self, _: web.Request) -> web.Response:
        await self._misbehave()
        return _failure(404) if self.lease is None else web.json_response(self.lease)

    async def create(self, request: web.Request) -> web.Response:
        await self._misbehave()
        return _failure(409) if self.lease else web.json_response(self._store(await request.json()), status=201)

    async def patch(self, request: web.Request) -> web.Response:
        await self._misbehave()
        patch = await request.json()
        if self.lease is None or patch["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            return _failure(409)
        spec = {key: value for key, value in {**self.lease["spec"], **patch["spec"]}.items() if value is not None}
        return web.json_response(self._store({"metadata": {}, "spec": spec}))

    async def _misbehave(self) -> None:
        if self.hangs:
            await self._freed.wait()
        if self.forbids:
            raise web.HTTPForbidden(text='{"code": 403, "message": "leases is forbidden"}')

    def _store(self, lease: dict[str, Any]) -> dict[str, Any]:
        self.writes += 1
        lease["metadata"]["resourceVersion"] = str(self.writes)
        self.lease = lease
        return lease


@asynccontextmanager
async def lease_api() -> AsyncIterator[LeaseApi]:
    """One that listens on this machine."""
    api = LeaseApi()
    app = web.Application()
    path = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    app.add_routes([web.post(path, api.create)])
    app.add_routes([web.get(f"{path}/{{name}}", api.get), web.patch(f"{path}/{{name}}", api.patch)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    api.url = f"http://{host}:{port}"
    try:
        yield api
    finally:
        api.free()
        await runner.cleanup()


def _failure(code: int) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "message": "no"}, status=code)

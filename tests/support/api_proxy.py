"""Stands between one client and the API server: notes every request, and can be away, as the server sometimes is.

The client talks plain HTTP to it and shows its own token; nothing is answered here.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict
from ruamel.yaml import YAML

SESSION = web.AppKey("session", ClientSession)
HOP_BY_HOP = {"host", "connection", "content-length", "transfer-encoding", "content-encoding", "accept-encoding"}
T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One request, and what came of it; `agent` is who the client says it is."""

    method: str
    path: str
    agent: str
    status: int

    @property
    def writes(self) -> bool:
        return self.method not in {"GET", "HEAD"}

    @property
    def elects(self) -> bool:
        return "/coordination.k8s.io/" in self.path


class ApiProxy:
    """`requests` is everything that was asked so far."""

    def __init__(self, server: str, certificates: ssl.SSLContext) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self._server = server
        self._certificates = certificates
        self._loop = asyncio.new_event_loop()
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._held: str | None = None
        self._answers_pass = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def writes(self) -> list[Request]:
        """What was written, the lease left out."""
        return [request for request in self.requests if request.writes and not request.elects]

    def watched(self) -> set[str]:
        """The kinds that were watched, as plurals."""
        paths = (request.path.partition("?") for request in self.requests)
        return {path.rpartition("/")[2] for path, _, query in paths if "watch=true" in query}

    def start(self) -> None:
        self._thread.start()
        self.come_back()

    def stop(self) -> None:
        self.go_away()
        self._do(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def go_away(self) -> None:
        """Cut every connection, and refuse new ones."""
        if self._runner is not None:
            self._do(self._runner.cleanup())
            self._runner = None

    def hold_answers(self, to: str) -> None:
        """From now on, what the server answers to writes of this path waits. The client waits with it."""
        self._held = to

    def holds(self) -> bool:
        """Whether a write that is done waits for its answer."""
        return self._held is not None and any(self._held in each.path for each in self.writes())

    def release_answers(self) -> None:
        self._held = None
        self._loop.call_soon_threadsafe(self._answers_pass.set)

    def come_back(self) -> None:
        self._runner = self._do(self._listen())

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    async def _listen(self) -> web.AppRunner:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        app.cleanup_ctx.append(self._session)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        self._port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}"
        return runner

    async def _session(self, app: web.Application) -> Any:
        connector = TCPConnector(ssl=self._certificates, limit=0)
        async with ClientSession(connector=connector, timeout=ClientTimeout()) as session:
            app[SESSION] = session
            yield

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        headers = CIMultiDict((key, value) for key, value in request.headers.items() if key.lower() not in HOP_BY_HOP)
        headers["Accept-Encoding"] = "identity"
        session = request.app[SESSION]
        async with session.request(
            request.method, self._server + request.path_qs, headers=headers, data=await request.read() or None
        ) as answer:
            noted = Request(request.method, request.path_qs, headers.get("User-Agent", ""), answer.status)
            self.requests.append(noted)
            if noted.writes and self._held is not None and self._held in noted.path:
                await self._answers_pass.wait()
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            # The client may be gone by now.
            with suppress(ConnectionError):
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response


async def _cancel_others() -> None:
    """Whatever still waits for a client that is gone."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def api_proxy(kubeconfig: Path) -> Iterator[ApiProxy]:
    """One in front of the server of a kubeconfig."""
    cluster = YAML(typ="safe").load(kubeconfig)["clusters"][0]["cluster"]
    proxy = ApiProxy(cluster["server"], ssl.create_default_context(cafile=cluster["certificate-authority"]))
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()

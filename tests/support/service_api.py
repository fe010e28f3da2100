"""The part of an API server that keeps InferenceServices: in memory, with versions, patches, watches, and refusals.

It also has InferenceRuntimes to read, lists pods, and passes requests for their `/status` on to whoever answers for
them here.
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonpatch
from aiohttp import web

PATH = "/apis/framepilot.dev/v1alpha1"


@dataclass
class ServiceApi:
    """`refusals`: by verb, what is answered instead. `before_patch`, `after_patch`: called with the stored service.

    `after_patch` gives the statuses that an operator reports of it, one after the other. `pods`: what a pod answers
    when its `/status` is asked for, by `<namespace>/<name>`; None: it does not run yet.
    """

    services: dict[str, dict[str, Any]] = field(default_factory=dict)
    runtimes: dict[str, dict[str, Any]] = field(default_factory=dict)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    before_patch: Callable[[dict[str, Any]], None] = lambda _: None
    after_patch: Callable[[dict[str, Any]], list[dict[str, Any]]] = lambda _: []
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    version: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    pods: dict[str, Callable[[], str] | None] = field(default_factory=dict)

    def add(self, document: dict[str, Any]) -> dict[str, Any]:
        """Store a service as if it had been applied."""
        service = copy.deepcopy(document)
        service["metadata"].setdefault("generation", 1)
        service.setdefault("status", {"observedGeneration": -1})
        self.store(service)
        return service

    def store(self, service: dict[str, Any]) -> None:
        """Store what a service is now; whoever watches is told."""
        self.version += 1
        service["metadata"]["resourceVersion"] = str(self.version)
        metadata = service["metadata"]
        self.services[f"{metadata['namespace']}/{metadata['name']}"] = service
        self.events.append({"type": "MODIFIED", "object": copy.deepcopy(service)})

    async def read(self, request: web.Request) -> web.Response:
        self._note("get", request)
        found = self._stored(request).get(f"{request.match_info['namespace']}/{request.match_info['name']}")
        return failure(404, "not found", {"name": "x"}) if found is None else web.json_response(found)

    async def read_all(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            self._note("watch", request)
            return await self._watch(request)
        self._note("list", request)
        items = [
            each
            for each in self._stored(request).values()
            if request.match_info.get("namespace") in {None, each["metadata"]["namespace"]}
            and request.query.get("fieldSelector") in {None, f"metadata.name={each['metadata']['name']}"}
        ]
        return web.json_response({"items": items, "metadata": {"resourceVersion": str(self.version)}})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        sent = int(request.query["resourceVersion"])
        while True:
            for event in self.events[sent:]:
                await response.write(json.dumps(event).encode() + b"\n")
            sent = len(self.events)
            await asyncio.sleep(0.01)

    async def patch(self, request: web.Request) -> web.Response:
        self._note("patch", request)
        service = self.services[f"{request.match_info['namespace']}/{request.match_info['name']}"]
        self.before_patch(service)
        try:
            patched = jsonpatch.apply_patch(service, await request.json())
        except jsonpatch.JsonPatchException as error:
            return failure(422, f"the server rejected our request: {error}")
        if patched["metadata"]["resourceVersion"] != service["metadata"]["resourceVersion"]:
            return failure(409, "the object has been modified")
        patched["metadata"]["generation"] += 1
        self.store(patched)
        for status in self.after_patch(patched):
            self.store({**copy.deepcopy(patched), "status": status})
        return web.json_response(patched)

    async def read_pods(self, request: web.Request) -> web.Response:
        self._note("list", request)
        assert request.query["labelSelector"] == (
            "app.kubernetes.io/managed-by=framepilot,app.kubernetes.io/name=inference-app"
        )
        items = [
            {
                "metadata": {"namespace": key.partition("/")[0], "name": key.partition("/")[2]},
                "status": {"phase": "Pending" if answer is None else "Running"},
            }
            for key, answer in self.pods.items()
            if request.match_info.get("namespace") in {None, key.partition("/")[0]}
        ]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def ask_pod(self, request: web.Request) -> web.Response:
        self._note("proxy", request)
        pod, _, port = request.match_info["pod"].partition(":")
        answer = self.pods[f"{request.match_info['namespace']}/{pod}"]
        assert (answer is not None, port) == (True, "8080")
        return web.Response(text=answer() if answer else "", content_type="application/json")

    def _stored(self, request: web.Request) -> dict[str, dict[str, Any]]:
        return self.runtimes if "/inferenceruntimes" in request.path else self.services

    def _note(self, verb: str, request: web.Request) -> None:
        self.requests.append((verb, request.match_info.get("namespace", "")))
        if verb in self.refusals:
            status, text = self.refusals[verb]
            error = web.HTTPBadRequest(text=text)
            error.set_status(status)
            raise error


def failure(code: int, message: str, details: dict[str, Any] | None = None) -> web.Response:
    """A `Status`, as an API server answers."""
    return web.json_response(status_of(code, message, details), status=code)


def status_of(code: int, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "message": message, "details": details or {}}


@contextmanager
def service_api() -> Iterator[ServiceApi]:
    """One that listens on this machine, in a thread of its own: commands have an event loop of their own."""
    api = ServiceApi()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def start() -> web.AppRunner:
        app = web.Application()
        one = f"{PATH}/namespaces/{{namespace}}/inferenceservices"
        app.add_routes([web.get(f"{PATH}/inferenceservices", api.read_all), web.get(one, api.read_all)])
        app.add_routes([web.get(f"{one}/{{name}}", api.read), web.patch(f"{one}/{{name}}", api.patch)])
        runtimes = one.replace("inferenceservices", "inferenceruntimes")
        app.add_routes([web.get(f"{PATH}/inferenceruntimes", api.read_all), web.get(f"{runtimes}/{{name}}", api.read)])
        pods = "/api/v1/namespaces/{namespace}/pods"
        app.add_routes([web.get("/api/v1/pods", api.read_pods), web.get(pods, api.read_pods)])
        app.add_routes([web.get(f"{pods}/{{pod}}/proxy/status", api.ask_pod)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        api.url = f"http://{host}:{port}"
        return runner

    runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
    try:
        yield api
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def write_kubeconfig(path: Path, server: str, namespace: str | None = None) -> None:
    """A kubeconfig of one context, `site`, for a server that asks for no credentials."""
    context = {"cluster": "site", "user": "ada"} | ({} if namespace is None else {"namespace": namespace})
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "site", "cluster": {"server": server}}],
        "users": [{"name": "ada", "user": {"token": "secret"}}],
        "contexts": [{"name": "site", "context": context}],
        "current-context": "site",
    }
    path.write_text(json.dumps(config), encoding="utf-8")

"""The page for people, at `/`: what `/status` says, drawn; the last ten minutes; and what the cameras see.

It is read-only and made of the files in `static/`, which fetch nothing from anywhere else; the headers hold the browser
to that. All of it costs nothing while nobody looks, but for the history's sample.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final

from aiohttp import web
from pydantic_core import to_json

from framepilot.contract.events import StreamKey
from framepilot_app.telemetry.history import History, Sample
from framepilot_app.web.access import Access, refusal
from framepilot_app.web.pictures import Pictures

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Page:
    """What the page is made of.

    `inputs` gives, for a stream, which modules of its service take whose detections; None if there is no such stream.
    `started_at` tells the history of this process from that of one before.
    """

    access: Access
    history: History
    pictures: Pictures
    inputs: Callable[[StreamKey], Mapping[str, Sequence[str]] | None]
    started_at: float

    def routes(self) -> list[web.RouteDef]:
        """Everything that a browser asks for."""
        handlers: dict[str, Handler] = {
            "/page/history": self._history,
            "/page/streams/{namespace}/{service}/{stream}.jpg": self._picture,
        }
        for name, asset in _assets().items():
            handlers["/" if name == "index.html" else f"/page/{name}"] = asset
        return [web.get(path, self._guarded(handler)) for path, handler in handlers.items()]

    def _guarded(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            reason = refusal(self.access, request.remote, request.headers.get("Host", ""))
            answer = web.Response(text=reason, status=403) if reason else await handler(request)
            answer.headers.update(HEADERS)
            return answer

        return handle

    async def _history(self, request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 20):
            return web.Response(text="`after` is the number of the last sample that you have", status=400)
        samples = [_sample(sample) for sample in self.history.after(int(after))]
        answer = {"run": self.started_at, "nowS": time.monotonic(), "last": self.history.last, "samples": samples}
        return web.Response(body=to_json(answer), content_type="application/json")

    async def _picture(self, request: web.Request) -> web.Response:
        names = request.match_info
        stream = (f"{names['namespace']}/{names['service']}", names["stream"])
        inputs = self.inputs(stream)
        if inputs is None:
            return web.Response(text="there is no such stream; /status lists them", status=404)
        picture = await self.pictures.look(stream, inputs, time.monotonic())
        if picture is None:
            return web.Response(status=204)
        age_ms = round((time.monotonic() - picture.captured_at) * 1000)
        headers = {"Framepilot-Frame": picture.frame, "Framepilot-Age-Ms": str(age_ms)}
        return web.Response(body=picture.jpeg, content_type="image/jpeg", headers=headers)


def _assets() -> dict[str, Handler]:
    """A handler for each file of `static/`, by name; they are read once."""
    files = resources.files("framepilot_app.web") / "static"
    return {file.name: _asset(file.read_bytes(), TYPES["." + file.name.rpartition(".")[2]]) for file in files.iterdir()}


def _asset(body: bytes, content_type: str) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type, charset="utf-8")

    return handle


def _sample(sample: Sample) -> dict[str, object]:
    return {
        "number": sample.number,
        "atS": round(sample.at_s, 3),
        "busy": sample.busy,
        "modules": [
            {
                "service": module.service,
                "module": module.module,
                "batch": module.batch,
                "version": module.version,
                "p99Ms": module.p99_ms,
            }
            for module in sample.modules
        ],
        "changes": [
            {
                "service": change.service,
                "module": change.module,
                "what": change.what,
                "before": change.before,
                "after": change.after,
            }
            for change in sample.changes
        ],
    }

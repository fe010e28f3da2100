"""A child process that keeps the inference app's side of the contract and runs no model; run it as a script.

It follows its desired-state file, answers `/status` (and crashes on `/crash`), ends on SIGTERM or when its parent is
gone, and says on stderr what happened, in JSON. A model version that begins with `broken` is refused. A batch of n
items takes 1 + n ms.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from framepilot.contract.desired import DesiredModule, DesiredState, ModelRef, Verdict, judge
from framepilot.contract.document import DocumentError
from framepilot.contract.observed import (
    Device,
    ObservedBatch,
    ObservedModule,
    ObservedPipeline,
    ObservedRollout,
    ObservedState,
    ProfilePoint,
    ServingModel,
)
from framepilot.rollouts.state import RolloutState
from framepilot.scheduling.latency import batch_sizes

COMMAND = (sys.executable, __file__)


def digest_of(model: ModelRef) -> str:
    return model.sha256 or (model.name + model.version).encode().hex().ljust(64, "0")[:64]


class ImitatedApp:
    def __init__(self, desired: Path) -> None:
        self.file = desired
        self.desired: DesiredState | None = None
        self.error: str | None = None
        self.serving: dict[tuple[str, str], ModelRef] = {}
        self.started_at = time.time()
        self.stopping = threading.Event()

    def look(self) -> None:
        try:
            found = DesiredState.parse(self.file.read_bytes())
        except FileNotFoundError:
            return
        except DocumentError as error:
            self.error = str(error)
            return
        if judge(self.desired, found) is not Verdict.ACCEPT:
            return
        self.desired, self.error = found, None
        for pipeline in found.pipelines:
            for module in pipeline.modules:
                self._roll_out((pipeline.service, module.name), module)

    def _roll_out(self, key: tuple[str, str], module: DesiredModule) -> None:
        if module.fallback is not None:
            self.serving.setdefault(key, module.fallback)
        if not module.model.version.startswith("broken"):
            self.serving[key] = module.model

    def status(self) -> ObservedState:
        desired = self.desired
        return ObservedState(
            instance_uid=None if desired is None else desired.instance_uid,
            generation=0 if desired is None else desired.generation,
            error=self.error,
            started_at=self.started_at,
            device=Device(device_class="cpu", name="imitated"),
            pipelines=tuple(
                ObservedPipeline(service=pipeline.service, uid=pipeline.uid)
                for pipeline in ([] if desired is None else desired.pipelines)
            ),
            modules=tuple(
                self._module(pipeline.service, module)
                for pipeline in ([] if desired is None else desired.pipelines)
                for module in pipeline.modules
            ),
        )

    def _module(self, service: str, module: DesiredModule) -> ObservedModule:
        serving = self.serving.get((service, module.name))
        refused = module.model.version.startswith("broken")
        return ObservedModule(
            service=service,
            name=module.name,
            model=module.model.name,
            serving=None if serving is None else ServingModel(version=serving.version, sha256=digest_of(serving)),
            batch=ObservedBatch(size=module.batch.size, max_wait_ms=module.batch.max_wait_ms, since=self.started_at),
            rollout=ObservedRollout(
                state=RolloutState.REFUSED if refused else RolloutState.SERVING,
                candidate=module.model.version,
                sha256=digest_of(module.model),
                attempt=module.attempt,
                reason="its example's output is wrong" if refused else None,
                since=self.started_at,
            ),
            profile=()
            if serving is None
            else tuple(
                ProfilePoint(batch=size, p50_ms=1 + size, p99_ms=1 + size) for size in batch_sizes(module.batch.limit)
            ),
        )


def log(message: str) -> None:
    print(json.dumps({"level": "INFO", "message": message}), file=sys.stderr, flush=True)


def serve(app: ImitatedApp, cache: Path) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/crash":
                log("crashing as told")
                os._exit(3)
            body = app.status().model_dump_json().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    beside = cache / "listen.new"
    beside.write_text("{}:{}".format(*server.server_address[:2]))
    beside.replace(cache / "listen")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--desired", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    arguments = parser.parse_args()
    app = ImitatedApp(arguments.desired)
    signal.signal(signal.SIGTERM, lambda *_: app.stopping.set())
    app.look()
    serve(app, arguments.cache)
    print("a result", flush=True)
    while not app.stopping.wait(0.005) and os.getppid() == arguments.parent_pid:
        app.look()
    with (arguments.desired.parent.parent / "drained").open("a") as file:
        file.write(f"{arguments.desired.parent.name}\n")


if __name__ == "__main__":
    main()

"""One app that runs many services of one module each, and what they wrote into one file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.served_streams import Results, window
from benchmarks.turns import ENVIRONMENT
from framepilot.contract.desired import (
    Batch,
    Delivery,
    DesiredModule,
    DesiredSink,
    DesiredStream,
    ModelRef,
    Pipeline,
)
from framepilot.contract.observed import ObservedState
from framepilot_app.models.model import Model
from support.app_process import COMMAND, AppProcess
from support.eventually import eventually

MODULE = "m"
BATCH = Batch(size=8, limit=8, max_wait_ms=10)
OBJECTIVE_MS = 4000
PATIENCE_S = 600.0
LOOK_S = 0.1
SETTLE_S = 1.0
PROBE_S = 4.0
SUSTAINED = 0.97
"""The share of the offered frames that is served, at least, at a rate that can be served."""
STEPS = (1.5, 1.2, 1.08)
"""How a rate is raised until it cannot be served: coarsely, and then from the last good one in finer steps."""
TRIES = 3
"""A machine that stalls for a moment is no reason to give a rate up."""

Streams = Callable[[int], Sequence[DesiredStream]]
"""The streams of a service, by its number."""


def first_frames(number: int) -> list[DesiredStream]:
    """A frame of its own for each service as soon as it serves, and then hardly any."""
    return [DesiredStream(name="first", source=f"test://160x96?fps=0.01&seed={number}")]


def same_cameras(cameras: int, fps: float) -> Streams:
    """The same cameras for all services, which call them `<service's number>-<camera's number>`."""
    sources = [f"test://320x180?fps={fps:.4g}&seed={camera}" for camera in range(cameras)]
    return lambda number: [
        DesiredStream(name=f"{number}-{index}", source=source) for index, source in enumerate(sources)
    ]


def own_camera(number: int) -> list[DesiredStream]:
    """A camera for each service, which gives frames as fast as they are served."""
    source = f"test://160x96?seed={number}"
    return [DesiredStream(name="own", source=source, delivery=Delivery.LOSSLESS, realtime=False)]


class ManyPipelines:
    """Service number i runs the i-th model."""

    def __init__(
        self,
        folder: Path,
        models: Sequence[Model],
        *options: str,
        joint: bool = True,
        command: Sequence[str | Path] = (COMMAND,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`joint`: whether they will share stages."""
        self.app = AppProcess(folder / "app", *options, environment=ENVIRONMENT | (environment or {}), command=command)
        self.models = models
        self.out = folder / "events.jsonl"
        self._joint = joint

    def serve(self, streams: Streams, count: int | None = None) -> tuple[float, float]:
        """Serve the first `count` models, or all.

        Returns:
            seconds until the last one that came served, and until it shared what it can.
        """
        at = self.want(streams, count)
        state = self.in_force()
        shared_s = time.time() - at
        return max(module.rollout.since for module in state.modules if module.rollout) - at, shared_s

    def want(self, streams: Streams, count: int | None = None) -> float:
        """Declare the first `count` services, or all; the Unix time at which that was said."""
        pipelines = [self._pipeline(number, model, streams(number)) for number, model in enumerate(self.models[:count])]
        at = time.time()
        self.app.want(*pipelines)
        return at

    def in_force(self) -> ObservedState:
        """Wait until what is wanted serves, and shares what it can; the status then."""
        found: list[ObservedState] = []

        def check() -> bool:
            found[:] = [self.app.status()]
            (state,) = found
            if state.generation != self.app.generation or not all(module.settled for module in state.modules):
                return False
            return not self._joint or all(module.alone is None for module in state.modules)

        eventually(check, f"what is wanted to be in force; the log is {self.app.log}", PATIENCE_S, LOOK_S)
        return found[0]

    def under(self, streams: Streams) -> None:
        """Change the streams, after all that came of the old ones is done."""
        self.serve(first_frames)
        eventually(lambda: self.app.status().frames.in_flight == 0, "old frames to end", PATIENCE_S, LOOK_S)
        self.serve(streams)
        time.sleep(SETTLE_S)

    def others_ms(self, number: int, seconds: float) -> list[float]:
        """Latencies of all that is served from now on to other services than this one."""
        found = self.window(seconds).latencies_ms
        return [ms for stream, each in found.items() if stream.partition("-")[0] != f"{number}" for ms in each]

    def window(self, seconds: float) -> Results:
        """What is served from now on."""
        return window(self.out, seconds)

    def highest_fps(self, cameras: int, fps: float) -> float:
        """The highest rate of so many cameras, which all services see, that can be served; `fps` surely can.

        It is approached from below: under more load each service takes frames of its own choice, and then fewer
        pictures are the same.
        """
        for step in STEPS:
            while any(self._serves(cameras, fps * step) for _ in range(TRIES)):
                fps *= step
        return fps

    def _serves(self, cameras: int, fps: float) -> bool:
        """Hardly a frame is dropped, or not even taken as its reader had no time; and no more are in flight afterwards
        than one of each camera for each service."""
        self.under(same_cameras(cameras, fps))
        before, began = self.app.status().frames, time.monotonic()
        time.sleep(PROBE_S)
        after, seconds = self.app.status().frames, time.monotonic() - began
        # Frames come at the same moment for all, so of each camera one may be on this side of the end or on that.
        at_once = cameras * len(self.models)
        expected = fps * seconds * at_once
        not_taken = expected - at_once - (after.ingested - before.ingested)
        growth = after.in_flight - before.in_flight - at_once
        dropped = sum(after.dropped.values()) - sum(before.dropped.values())
        return dropped + max(growth, 0) + max(not_taken, 0) <= (1 - SUSTAINED) * expected

    def first_latencies_ms(self) -> list[float]:
        """Of the first frame of each service."""
        first: dict[str, float] = {}
        for line in self.out.read_text(encoding="utf-8").splitlines():
            data = json.loads(line)["data"]
            first.setdefault(data["service"], data["latencyMs"])
        return [*first.values()]

    def _pipeline(self, number: int, model: Model, streams: Sequence[DesiredStream]) -> Pipeline:
        ref = ModelRef(name=model.spec.name, version=model.spec.version, uri=f"file://{model.folder}")
        module = DesiredModule(name=MODULE, budget_ms=OBJECTIVE_MS, batch=BATCH, model=ref)
        return Pipeline(
            service=f"bench/service-{number}",
            uid=f"{number}",
            objective_ms=OBJECTIVE_MS,
            streams=tuple(streams),
            modules=(module,),
            sinks=(DesiredSink(name="events", type="file", path=self.out),),
        )
